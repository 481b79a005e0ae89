// Finds objects with MNN: ./detect photo.jpg ... , run where model.mnn lies.
#include <MNN/expr/ExprCreator.hpp>
#include <MNN/expr/Module.hpp>

#include "detector.h"

int main(int count, char** words) {
    using namespace MNN::Express;
    MNN::BackendConfig precise;
    // "Low" is faster on a phone, and moves edges by about half a pixel.
    precise.precision = MNN::BackendConfig::Precision_High;
    MNN::ScheduleConfig config;
    config.type = MNN_FORWARD_CPU;
    config.numThread = 1;
    config.backendConfig = &precise;
    std::shared_ptr<Executor::RuntimeManager> runtime(
        Executor::RuntimeManager::createRuntimeManager(config), Executor::RuntimeManager::destroy);
    std::shared_ptr<Module> net(
        Module::load(model::INPUTS, model::OUTPUTS, "model.mnn", runtime), Module::destroy);
    if (!net) {
        std::fprintf(stderr, "model.mnn can't be read\n");
        return 1;
    }
    return run(count, words, [&](const cv::Mat& picture) {
        std::vector<float> ready = prepare(picture);
        VARP input = _Input({1, 3, model::HEIGHT, model::WIDTH}, NCHW, halide_type_of<float>());
        std::copy(ready.begin(), ready.end(), input->writeMap<float>());
        std::vector<VARP> outputs = net->onForward({input});
        VARP boxes = _Convert(outputs[0], NCHW), scores = _Convert(outputs[1], NCHW);
        return suppress(boxes->readMap<float>(), scores->readMap<float>(), boxes->getInfo()->dim[1],
                        picture);
    });
}
