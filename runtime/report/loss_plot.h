// training_loss.svg: the loss of each logged step, pale, with its smoothed course over it, and the
// evaluation losses as dots.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace athanor {

struct LossPoint {
  int64_t step = 0;
  double loss = 0;  // points that are not finite leave a gap
};

// Exponential moving average with the weight that LLaMA-Factory's plots have for n points,
// 1.8 (sigmoid(0.05 n) - 0.5); points that are not finite are passed on and change nothing.
std::vector<LossPoint> smoothed(const std::vector<LossPoint>& points);

// A whole SVG document. Many points are drawn as the lowest and the highest of each column.
std::string loss_plot_svg(const std::vector<LossPoint>& train, const std::vector<LossPoint>& eval);

}  // namespace athanor
