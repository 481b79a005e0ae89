// What is done to a picture before the model, and to what the model gives: the same as detect.py.
// model.h has this model's own numbers. Needs OpenCV's core, imgproc and imgcodecs.
#pragma once

#include <algorithm>
#include <cstdio>
#include <vector>

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "model.h"

struct Box {
    int type;  // its place in model::CLASSES
    float score;
    float x1, y1, x2, y2;  // pixels of the picture
};

// float32 [3, HEIGHT, WIDTH], of a picture as cv::imread gives it: BGR, turned as its EXIF tag says.
inline std::vector<float> prepare(const cv::Mat& picture) {
    cv::Mat image;
    cv::cvtColor(picture, image, cv::COLOR_BGR2RGB);
    // By factors, as in training: a size would be resized by slightly others.
    cv::resize(image, image, cv::Size(), double(model::WIDTH) / picture.cols,
               double(model::HEIGHT) / picture.rows, model::INTERPOLATION);
    const size_t plane = size_t(model::WIDTH) * model::HEIGHT;
    std::vector<float> ready(3 * plane);
    for (int y = 0; y < model::HEIGHT; y++) {
        const unsigned char* row = image.ptr<unsigned char>(y);
        for (int x = 0; x < model::WIDTH; x++) {
            for (int c = 0; c < 3; c++) {
                const float value = float(row[x * 3 + c]) * model::SCALE;
                ready[c * plane + size_t(y) * model::WIDTH + x] =
                    (value - model::MEAN[c]) / model::DEVIATION[c];
            }
        }
    }
    return ready;
}

inline float overlap(const Box& a, const Box& b) {
    const float wide = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
    const float high = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
    const float both = std::max(wide, 0.f) * std::max(high, 0.f);
    const float all = (a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - both;
    return both / std::max(all, 1e-12f);
}

// Non-maximum suppression, each class for itself. `boxes` is [count, 4] in pixels of the input,
// `scores` [classes, count]; the highest score comes first.
inline std::vector<Box> suppress(const float* boxes, const float* scores, int count,
                                 const cv::Mat& picture) {
    const float across = float(model::WIDTH) / picture.cols;
    const float down = float(model::HEIGHT) / picture.rows;
    const auto higher = [](const Box& a, const Box& b) { return a.score > b.score; };
    std::vector<Box> found;
    for (int type = 0; type < model::CLASS_COUNT; type++) {
        std::vector<Box> sure, kept;
        for (int n = 0; n < count; n++) {
            const float score = scores[size_t(type) * count + n];
            const float* box = boxes + size_t(n) * 4;
            if (score > model::SCORE_THRESHOLD) {
                sure.push_back({type, score, box[0] / across, box[1] / down, box[2] / across,
                                box[3] / down});
            }
        }
        std::stable_sort(sure.begin(), sure.end(), higher);
        sure.resize(std::min(sure.size(), size_t(model::NMS_TOP_K)));
        for (const Box& box : sure) {
            const auto covers = [&](const Box& other) {
                return overlap(box, other) > model::NMS_THRESHOLD;
            };
            if (std::none_of(kept.begin(), kept.end(), covers)) kept.push_back(box);
        }
        found.insert(found.end(), kept.begin(), kept.end());
    }
    std::stable_sort(found.begin(), found.end(), higher);
    found.resize(std::min(found.size(), size_t(model::KEEP_TOP_K)));
    return found;
}

// A line for each box of each picture named: path, class, score, x1, y1, x2, y2, with tabs between.
template <typename Find>
int run(int count, char** paths, Find find) {
    for (int n = 1; n < count; n++) {
        const cv::Mat picture = cv::imread(paths[n], cv::IMREAD_COLOR);
        if (picture.empty()) {
            std::fprintf(stderr, "%s is no picture that OpenCV can read\n", paths[n]);
            return 1;
        }
        for (const Box& box : find(picture)) {
            std::printf("%s\t%s\t%.6f\t%.4f\t%.4f\t%.4f\t%.4f\n", paths[n],
                        model::CLASSES[box.type], box.score, box.x1, box.y1, box.x2, box.y2);
        }
    }
    return 0;
}
