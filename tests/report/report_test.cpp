// What a run leaves for people: the plot, the events, the card, the live line.
#include <gtest/gtest.h>
#include <proto/tensorboard.pb.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "runtime/report/event_file.h"
#include "runtime/report/loss_plot.h"
#include "runtime/report/model_card.h"
#include "runtime/report/run_report.h"
#include "tests/support/process.h"
#include "tests/support/temp_folder.h"

namespace athanor::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

uint32_t crc_of(const std::string& text) { return masked_crc32c(std::as_bytes(std::span(text))); }

uint32_t unmasked(uint32_t crc) {
  crc -= 0xa282ead8;
  return (crc >> 17) | (crc << 15);
}

TEST(EventFile, ChecksumIsCrc32c) {
  // RFC 3720, appendix B.4: 32 bytes of zeroes, of ones, and ascending.
  std::string ascending;
  for (char c = 0; c < 32; ++c) ascending += c;
  EXPECT_EQ(unmasked(crc_of(std::string(32, '\0'))), 0x8a9136aaU);
  EXPECT_EQ(unmasked(crc_of(std::string(32, '\xff'))), 0x62a8ab43U);
  EXPECT_EQ(unmasked(crc_of(ascending)), 0x46dd794eU);
}

std::vector<tensorboard::Event> read_events(const std::string& bytes) {
  std::vector<tensorboard::Event> events;
  for (size_t at = 0; at < bytes.size();) {
    uint64_t length = 0;
    uint32_t crc = 0;
    std::memcpy(&length, bytes.data() + at, 8);
    std::memcpy(&crc, bytes.data() + at + 8, 4);
    EXPECT_EQ(crc, crc_of(bytes.substr(at, 8)));
    const std::string message = bytes.substr(at + 12, length);
    std::memcpy(&crc, bytes.data() + at + 12 + length, 4);
    EXPECT_EQ(crc, crc_of(message));
    EXPECT_TRUE(events.emplace_back().ParseFromString(message));
    at += length + 16;
  }
  return events;
}

TEST(EventFile, HasTheVersionThenOneEventAStep) {
  TempFolder folder;
  {
    EventFile file(folder / "runs", 1700000000.5);
    const Scalar scalars[] = {{"train/loss", 1.5}, {"train/learning_rate", 2e-5}};
    file.append(7, 1700000001.25, scalars);
  }
  const auto events = read_events(slurp(folder / "runs/events.out.tfevents.1700000000.athanor"));
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].file_version(), "brain.Event:2");
  EXPECT_EQ(events[1].step(), 7);
  EXPECT_EQ(events[1].wall_time(), 1700000001.25);
  ASSERT_EQ(events[1].summary().value_size(), 2);
  EXPECT_EQ(events[1].summary().value(0).tag(), "train/loss");
  EXPECT_EQ(events[1].summary().value(0).simple_value(), 1.5F);
  EventFile second(folder / "runs", 1700000000.5);  // the same second
  EXPECT_TRUE(std::filesystem::exists(folder / "runs/events.out.tfevents.1700000000.athanor.1"));
}

TEST(LossPlot, SmoothsAsLlamaFactoryDoesAndStepsOverGaps) {
  const std::vector<LossPoint> points = smoothed({{1, 4.0}, {2, 2.0}, {3, kNaN}, {4, 3.0}});
  const double weight = 1.8 * (1 / (1 + std::exp(-0.2)) - 0.5);
  const double second = 4.0 * weight + 2.0 * (1 - weight);
  EXPECT_EQ(points[0].loss, 4.0);
  EXPECT_DOUBLE_EQ(points[1].loss, second);
  EXPECT_TRUE(std::isnan(points[2].loss));
  EXPECT_DOUBLE_EQ(points[3].loss, second * weight + 3.0 * (1 - weight));
}

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST(LossPlot, DrawsBothLinesAndTheEvaluations) {
  const std::string svg = loss_plot_svg({{1, 4.0}, {2, 2.0}, {3, 3.0}}, {{2, 2.5}, {3, kNaN}});
  EXPECT_EQ(count(svg, "fill=\"none\" stroke"), 2U);
  EXPECT_EQ(count(svg, "<circle"), 1U);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
}

TEST(LossPlot, StaysSmallAndKeepsTheExtremesOfAMillionPoints) {
  std::vector<LossPoint> points;
  for (int64_t step = 1; step <= 1000000; ++step) {
    points.push_back({step, step == 500000 ? 50.0 : 1.0 + 1e-7 * static_cast<double>(step % 7)});
  }
  const std::string svg = loss_plot_svg(points, {});
  EXPECT_LT(svg.size(), 100000U);
  // The peak is a twentieth of the range below the upper edge.
  EXPECT_NE(svg.find(" 48.2"), std::string::npos);
}

TEST(LossPlot, ExistsForRunsOfNoAndOfOnePoint) {
  for (const std::vector<LossPoint>& points : {std::vector<LossPoint>{}, {{1, 2.0}}, {{1, kNaN}}}) {
    const std::string svg = loss_plot_svg(points, {});
    EXPECT_EQ(svg.find("nan"), std::string::npos);
    EXPECT_EQ(svg.find("inf"), std::string::npos);
  }
}

TEST(ModelCard, IsRewrittenButNeverReplacesAPersons) {
  TempFolder folder;
  ModelCard card;
  card.title = "out";
  card.base_model = "models/\"odd\"";
  card.adapter = true;
  card.datasets = {"a.jsonl", "b"};
  card.settings = "seed: 42\n";
  card.steps = 3;
  EXPECT_TRUE(write_model_card(folder.path(), card));
  card.loss = 1.25;
  EXPECT_TRUE(write_model_card(folder.path(), card));
  const std::string text = slurp(folder / "README.md");
  EXPECT_TRUE(text.starts_with("---\nbase_model: \"models/\\\"odd\\\"\"\nlibrary_name: peft\n"));
  for (const char* part : {"trained on `a.jsonl`, `b`", "| training loss | 1.2500 |", "seed: 42"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part;
  }
  spill(folder / "README.md", "mine");
  EXPECT_FALSE(write_model_card(folder.path(), card));
  EXPECT_EQ(slurp(folder / "README.md"), "mine");
}

TEST(LiveLine, HasWhatMatters) {
  TrainerLogLine now;
  now.current_steps = 120;
  now.total_steps = 1000;
  now.loss = 1.23456;
  now.lr = 2e-5;
  now.throughput = 1234.4;
  now.remaining_seconds = 3725;
  EXPECT_EQ(live_line(now, "falling", int64_t{3} << 29, int64_t{1} << 31, 100),
            "step 120/1000 12%  loss 1.2346 falling  lr 2e-05  1234 tok/s  1:02:05 left  "
            "1.50/2.00 GiB  saved 100");
  EXPECT_EQ(live_line({1, 2}, "", 0, 0, std::nullopt), "step 1/2 50%  0.00 GiB");
}

TEST(RunReport, GoesOnWithoutWhatOnlyEyesWant) {
  TempFolder folder;
  spill(folder / "runs", "a file in the way");
  ReportOptions options;
  options.folder = folder.path();
  ::testing::internal::CaptureStderr();
  {
    RunReport report(options);
    TrainerLogLine line;
    line.current_steps = 1;
    line.total_steps = 1;
    line.loss = 2.0;
    report.log(line);
    std::filesystem::create_directory(folder / "training_loss.svg");
    report.saved(1, 10);
  }
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(count(text, "warning: report: "), 1U) << text;
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(count(slurp(folder / "trainer_log.jsonl"), "\n"), 1U);
}

TEST(RunReport, ANewRunTakesItsOwnOldEventsAwayAndAResumedOneKeepsThem) {
  TempFolder folder;
  ReportOptions options;
  options.folder = folder.path();
  const auto files = [&] {
    const std::filesystem::directory_iterator entries(folder / "runs");
    return std::distance(begin(entries), end(entries));
  };
  { RunReport first(options); }
  spill(folder / "runs/events.out.tfevents.1.elsewhere", "");
  { RunReport second(options); }
  EXPECT_EQ(files(), 2);
  options.mode = TrainerLog::Mode::kAppend;
  { RunReport resumed(options); }
  EXPECT_EQ(files(), 3);
}

}  // namespace
}  // namespace athanor::testing
