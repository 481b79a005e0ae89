// Finds objects with ncnn: ./detect photo.jpg ... , run where model.ncnn.param lies.
#include <net.h>

#include "detector.h"

int main(int count, char** words) {
    ncnn::Net net;
    // In halves of a number a phone is faster, and edges move by about half a pixel.
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = false;
    net.opt.use_bf16_storage = false;
    if (net.load_param("model.ncnn.param") != 0 || net.load_model("model.ncnn.bin") != 0) {
        std::fprintf(stderr, "model.ncnn.param and model.ncnn.bin can't be read\n");
        return 1;
    }
    return run(count, words, [&](const cv::Mat& picture) {
        std::vector<float> ready = prepare(picture);
        // ncnn pads each channel to a round address, so it makes its own copy.
        ncnn::Mat input(model::WIDTH, model::HEIGHT, 3);
        const size_t plane = size_t(model::WIDTH) * model::HEIGHT;
        for (int c = 0; c < 3; c++) {
            std::copy_n(ready.begin() + c * plane, plane, static_cast<float*>(input.channel(c)));
        }
        ncnn::Extractor extractor = net.create_extractor();
        extractor.input("in0", input);
        ncnn::Mat boxes, scores;
        extractor.extract("out0", boxes);
        extractor.extract("out1", scores);
        return suppress(boxes.channel(0), scores.channel(0), boxes.h, picture);
    });
}
