#include "runtime/report/loss_plot.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace athanor {
namespace {

constexpr double kWidth = 840;
constexpr double kHeight = 480;
constexpr double kLeft = 70;
constexpr double kRight = 20;
constexpr double kTop = 30;
constexpr double kBottom = 50;

std::string format(const char* pattern, auto... values) {
  char text[256];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

// 1, 2 or 5 times a power of ten: the smallest that divides `span` into at most `parts`.
double tick_width(double span, int parts) {
  const double least = span / parts;
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least) return factor * power;
  }
  return 10 * power;
}

struct Axis {
  double low = 0;
  double high = 1;
  double begin = 0;  // where `low` and `high` lie on the page
  double end = 1;

  double place(double value) const { return begin + (value - low) / (high - low) * (end - begin); }
};

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  // Never empty, never of width zero.
  void widen(double least) {
    if (low > high) low = high = 0;
    if (high - low >= least) return;
    const double middle = (low + high) / 2;
    low = middle - least / 2;
    high = middle + least / 2;
  }
};

// The lowest and the highest point of each column of the page, in their order.
std::vector<LossPoint> thinned(const std::vector<LossPoint>& points, const Axis& x) {
  std::vector<LossPoint> kept;
  for (size_t begin = 0; begin < points.size();) {
    const double column = std::floor(x.place(static_cast<double>(points[begin].step)));
    size_t end = begin;
    size_t low = begin;
    size_t high = begin;
    bool finite = true;
    for (; end < points.size() &&
           std::floor(x.place(static_cast<double>(points[end].step))) == column;
         ++end) {
      finite = finite && std::isfinite(points[end].loss);
      if (points[end].loss < points[low].loss) low = end;
      if (points[end].loss > points[high].loss) high = end;
    }
    if (!finite || end - begin < 3) {
      kept.insert(kept.end(), points.begin() + static_cast<std::ptrdiff_t>(begin),
                  points.begin() + static_cast<std::ptrdiff_t>(end));
    } else {
      kept.push_back(points[std::min(low, high)]);
      if (low != high) kept.push_back(points[std::max(low, high)]);
    }
    begin = end;
  }
  return kept;
}

std::string line(const std::vector<LossPoint>& points, const Axis& x, const Axis& y,
                 const char* style) {
  std::string path;
  bool drawing = false;
  for (const LossPoint& point : thinned(points, x)) {
    if (!std::isfinite(point.loss)) {
      drawing = false;
      continue;
    }
    path += format("%s%.1f %.1f", drawing ? "L" : "M", x.place(static_cast<double>(point.step)),
                   y.place(point.loss));
    drawing = true;
  }
  if (path.empty()) return "";
  return "<path d=\"" + path + "\" fill=\"none\" " + style + "/>\n";
}

std::string grid(const Axis& x, const Axis& y) {
  std::string text;
  const double step_width = std::max(1.0, tick_width(x.high - x.low, 8));
  for (double tick = std::ceil(x.low / step_width) * step_width; tick <= x.high;
       tick += step_width) {
    const double at = x.place(tick);
    text += format("<path d=\"M%.1f %.1fV%.1f\" class=\"grid\"/>\n", at, kTop, kHeight - kBottom);
    text += format("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.0f</text>\n", at,
                   kHeight - kBottom + 18, tick);
  }
  const double loss_width = tick_width(y.high - y.low, 6);
  for (double tick = std::ceil(y.low / loss_width) * loss_width; tick <= y.high;
       tick += loss_width) {
    const double at = y.place(tick);
    text += format("<path d=\"M%.1f %.1fH%.1f\" class=\"grid\"/>\n", kLeft, at, kWidth - kRight);
    text += format("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n", kLeft - 8, at + 4,
                   std::abs(tick) < loss_width / 2 ? 0.0 : tick);
  }
  return text;
}

std::string legend(bool has_eval) {
  const char* names[] = {"loss", "smoothed", "evaluation"};
  const char* colours[] = {"#9db8d9", "#1f4e8c", "#c4512d"};
  std::string text;
  for (int i = 0; i < (has_eval ? 3 : 2); ++i) {
    const double at = kWidth - kRight - 300 + 100 * i;
    text += format("<path d=\"M%.1f 16h22\" stroke=\"%s\" stroke-width=\"3\"/>\n", at, colours[i]);
    text += format("<text x=\"%.1f\" y=\"20\">%s</text>\n", at + 28, names[i]);
  }
  return text;
}

}  // namespace

std::vector<LossPoint> smoothed(const std::vector<LossPoint>& points) {
  const double count = static_cast<double>(points.size());
  const double weight = 1.8 * (1.0 / (1.0 + std::exp(-0.05 * count)) - 0.5);
  std::vector<LossPoint> result = points;
  bool begun = false;
  double last = 0;
  for (LossPoint& point : result) {
    if (!std::isfinite(point.loss)) continue;
    last = begun ? last * weight + (1 - weight) * point.loss : point.loss;
    begun = true;
    point.loss = last;
  }
  return result;
}

std::string loss_plot_svg(const std::vector<LossPoint>& train, const std::vector<LossPoint>& eval) {
  Range steps;
  Range losses;
  for (const std::vector<LossPoint>* points : {&train, &eval}) {
    for (const LossPoint& point : *points) {
      if (!std::isfinite(point.loss)) continue;
      steps.add(static_cast<double>(point.step));
      losses.add(point.loss);
    }
  }
  steps.widen(2);
  losses.widen(std::max(1e-9, std::abs(losses.high) * 1e-6));
  const double margin = 0.05 * (losses.high - losses.low);
  const Axis x{steps.low, steps.high, kLeft, kWidth - kRight};
  const Axis y{losses.low - margin, losses.high + margin, kHeight - kBottom, kTop};

  std::string svg = format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" "
      "height=\"%.0f\" font-family=\"sans-serif\" font-size=\"12\">\n",
      kWidth, kHeight, kWidth, kHeight);
  svg +=
      "<style>.grid{stroke:#dddddd;fill:none}</style>\n<rect width=\"100%\" height=\"100%\" "
      "fill=\"white\"/>\n";
  svg += grid(x, y) + legend(!eval.empty());
  svg += line(train, x, y, "stroke=\"#9db8d9\" stroke-width=\"1\"");
  svg += line(smoothed(train), x, y, "stroke=\"#1f4e8c\" stroke-width=\"2\"");
  for (const LossPoint& point : eval) {
    if (!std::isfinite(point.loss)) continue;
    svg += format("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"#c4512d\"/>\n",
                  x.place(static_cast<double>(point.step)), y.place(point.loss));
  }
  svg += format("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">step</text>\n",
                (kLeft + kWidth - kRight) / 2, kHeight - 10);
  svg += format(
      "<text x=\"16\" y=\"%.1f\" transform=\"rotate(-90 16 %.1f)\" "
      "text-anchor=\"middle\">loss</text>\n</svg>\n",
      kHeight / 2, kHeight / 2);
  return svg;
}

}  // namespace athanor
