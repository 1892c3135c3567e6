#include "launcher/coordinator/run_watch.h"

#include <algorithm>
#include <cstdio>
#include <tuple>
#include <utility>

namespace athanor {
namespace {

std::string seconds_text(std::chrono::duration<double> seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g s", seconds.count());
  return text;
}

bool waits_for_others(const RankReport& report) {
  return report.exchanges_begun > report.exchanges_done;
}

bool is_slow_section(Section section) {
  return section == Section::kStarting || section == Section::kLoading ||
         section == Section::kSave || section == Section::kEnding;
}

std::string mismatch(int rank, const char* what, const std::string& found,
                     const std::string& expected) {
  return std::string(what) + ": rank " + std::to_string(rank) + " has " + found +
         ", the launcher has " + expected + "; all ranks need the same";
}

}  // namespace

void RunWatch::begin_attempt(int world, Time now) {
  const std::lock_guard lock(mutex_);
  Row row;
  row.heard = row.changed = row.step_began = now;
  rows_.assign(static_cast<size_t>(world), row);
  began_ = now;
  ++attempts_;
}

std::string RunWatch::introduce(const RankIntroduction& introduction, Time now) {
  const std::lock_guard lock(mutex_);
  const int world = static_cast<int>(rows_.size());
  const int rank = introduction.rank;
  if (introduction.world_size != world || rank < 0 || rank >= world) {
    return "rank " + std::to_string(rank) + " of " + std::to_string(introduction.world_size) +
           " is not of this run, which has " + std::to_string(world);
  }
  const RunIdentity& own = introduction.identity;
  if (own.program != identity_.program) {
    return mismatch(rank, "program", own.program, identity_.program);
  }
  if (own.config != identity_.config) {
    return mismatch(rank, "config", "hash " + own.config, "hash " + identity_.config);
  }
  Row& row = rows_[static_cast<size_t>(rank)];
  if (row.status.registered && row.status.process != introduction.process) {
    return "rank " + std::to_string(rank) + " is process " + std::to_string(row.status.process) +
           " already";
  }
  row.status.registered = true;
  row.status.process = introduction.process;
  row.status.host = introduction.host;
  row.heard = row.changed = row.step_began = now;
  return "";
}

bool RunWatch::beat(int rank, int64_t process, const RankReport& report, bool last, Time now) {
  const std::lock_guard lock(mutex_);
  if (rank < 0 || rank >= static_cast<int>(rows_.size())) return false;
  Row& row = rows_[static_cast<size_t>(rank)];
  if (!row.status.registered || row.status.process != process) return false;
  const RankReport before = row.status.report;
  row.status.report = report;
  row.heard = now;
  row.ended = row.ended || last;
  if (report.ticks != before.ticks || report.exchanges_done != before.exchanges_done ||
      report.exchanges_begun != before.exchanges_begun || report.step != before.step) {
    row.changed = now;
  }
  // A pause is no step, however long it is.
  if (report.section == Section::kPaused || report.section == Section::kLoading) {
    row.step_began = now;
  }
  if (report.step > before.step) {
    // The first one finds caches cold and memory untouched.
    if (row.steps_seen > 0) {
      longest_step_ = std::max(longest_step_, Seconds(now - row.step_began));
    }
    ++row.steps_seen;
    row.step_began = now;
  }
  return true;
}

RunWatch::Seconds RunWatch::limit_in_step() const {
  return std::max(Seconds(limits_.least), longest_step_ * limits_.factor);
}

RunWatch::Seconds RunWatch::limit_of(const Row& row) const {
  const bool slow = row.ended || row.steps_seen == 0 || is_slow_section(row.status.report.section);
  return slow ? std::max(limit_in_step(), limits_.least * limits_.slow_factor) : limit_in_step();
}

// Heartbeats come from a thread of their own, whatever the rank is doing.
bool RunWatch::is_silent(const Row& row, Time now) const {
  return row.status.registered && !row.ended && Seconds(now - row.heard) > limit_in_step();
}

// The one that keeps the others waiting: who is silent, else who has not come to the exchange where
// the others wait, else who is furthest behind.
const RunWatch::Row* RunWatch::odd_one(Time now) const {
  const Row* odd = nullptr;
  const auto key = [&](const Row& row) {
    return std::tuple(row.status.registered, !is_silent(row, now),
                      row.status.report.exchanges_begun, waits_for_others(row.status.report),
                      row.status.report.step);
  };
  for (const Row& row : rows_) {
    if (!row.status.registered && may_be_absent_) continue;
    if (odd == nullptr || key(row) < key(*odd)) odd = &row;
  }
  return odd;
}

std::string RunWatch::where(const Row& row) const {
  const RankReport& report = row.status.report;
  std::string text =
      "after step " + std::to_string(report.step) + ", in " + section_name(report.section);
  if (waits_for_others(report)) {
    text += ", waiting in exchange " + std::to_string(report.exchanges_begun);
  } else if (report.exchanges_done > 0) {
    text += ", exchange " + std::to_string(report.exchanges_done) + " done";
  }
  return text;
}

std::optional<std::string> RunWatch::find_hang(Time now) const {
  if (limits_.least.count() <= 0) return std::nullopt;
  const std::lock_guard lock(mutex_);
  Seconds patience = limit_in_step();  // a rank that is saving explains why others wait
  for (const Row& row : rows_) {
    if (row.status.report.section == Section::kPaused) return std::nullopt;
    if (row.status.registered || !may_be_absent_) patience = std::max(patience, limit_of(row));
  }
  const bool hangs = std::any_of(rows_.begin(), rows_.end(), [&](const Row& row) {
    if (!row.status.registered && may_be_absent_) return false;
    return is_silent(row, now) || Seconds(now - row.changed) > patience;
  });
  if (!hangs) return std::nullopt;
  const Row& odd = *odd_one(now);
  const auto rank = static_cast<size_t>(&odd - rows_.data());
  std::string text = "rank " + std::to_string(rank);
  if (!odd.status.registered) {
    return text + " hangs: it has not registered for " + seconds_text(now - began_) + " (limit " +
           seconds_text(patience) + ")";
  }
  const bool silent = is_silent(odd, now);
  const bool blameless = waits_for_others(odd.status.report) && !is_silent(odd, now);
  if (may_be_absent_ && blameless &&
      std::ranges::any_of(rows_, [](const Row& row) { return !row.status.registered; })) {
    return "the ranks that are not heard here, or the network to them, hang: rank " +
           std::to_string(rank) + " waits " + where(odd) + " for " +
           seconds_text(now - odd.changed) + " (limit " + seconds_text(patience) + ")";
  }
  text += " (" + odd.status.host + ", process " + std::to_string(odd.status.process) + ") hangs " +
          where(odd) + ": no " + (silent ? "sign" : "progress") + " for " +
          seconds_text(now - (silent ? odd.heard : odd.changed)) + " (limit " +
          seconds_text(silent ? limit_in_step() : patience) +
          (longest_step_.count() > 0 ? ", longest step " + seconds_text(longest_step_) : "") + ")";
  size_t waiting = 0;
  for (const Row& row : rows_) waiting += &row != &odd && waits_for_others(row.status.report);
  if (waiting > 0) text += "; " + std::to_string(waiting) + " others wait for it";
  return text;
}

void RunWatch::forgive(Clock::duration gap) {
  const std::lock_guard lock(mutex_);
  began_ += gap;
  for (Row& row : rows_) {
    row.heard += gap;
    row.changed += gap;
    row.step_began += gap;
  }
}

RunStatus RunWatch::status(Time now) const {
  const std::lock_guard lock(mutex_);
  RunStatus status;
  status.restarts = std::max(0, attempts_ - 1);
  status.paused = paused_;
  status.stopping = stopping_;
  for (const Row& row : rows_) {
    status.ranks.push_back(row.status);
    status.ranks.back().seconds_since_heard = std::max(0.0, Seconds(now - row.heard).count());
  }
  return status;
}

std::string RunWatch::last_seen(int rank) const {
  const std::lock_guard lock(mutex_);
  const Row& row = rows_[static_cast<size_t>(rank)];
  return row.status.registered ? " on " + row.status.host + " " + where(row) : "";
}

void RunWatch::ask(Ask ask) {
  const std::lock_guard lock(mutex_);
  switch (ask) {
    case Ask::kStop:
      stop_asked_ = stopping_ = true;
      break;
    case Ask::kSave:
      save_asked_ = true;
      break;
    case Ask::kPause:
      paused_ = true;
      break;
    case Ask::kResume:
      paused_ = false;
      break;
  }
}

bool RunWatch::paused() const {
  const std::lock_guard lock(mutex_);
  return paused_;
}

bool RunWatch::take_stop() {
  const std::lock_guard lock(mutex_);
  return std::exchange(stop_asked_, false);
}

bool RunWatch::take_save() {
  const std::lock_guard lock(mutex_);
  return std::exchange(save_asked_, false);
}

}  // namespace athanor
