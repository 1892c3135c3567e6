#include "launcher/coordinator/messages.h"

#include <proto/coordinator.pb.h>

#include <algorithm>

namespace athanor {

void to_message(const RankReport& report, proto::RankReport& message) {
  message.set_step(report.step);
  message.set_total_steps(report.total_steps);
  message.set_section(static_cast<int32_t>(report.section));
  message.set_ticks(report.ticks);
  message.set_exchanges_begun(report.exchanges_begun);
  message.set_exchanges_done(report.exchanges_done);
  message.set_loss(report.loss);
  message.set_learning_rate(report.learning_rate);
  message.set_tokens_per_second(report.tokens_per_second);
}

RankReport from_message(const proto::RankReport& message) {
  RankReport report;
  report.step = message.step();
  report.total_steps = message.total_steps();
  report.section = static_cast<Section>(std::clamp(message.section(), 0, kSections - 1));
  report.ticks = message.ticks();
  report.exchanges_begun = message.exchanges_begun();
  report.exchanges_done = message.exchanges_done();
  report.loss = message.loss();
  report.learning_rate = message.learning_rate();
  report.tokens_per_second = message.tokens_per_second();
  return report;
}

void to_message(const RunStatus& status, proto::StatusReply& message) {
  int rank = 0;
  for (const RankStatus& row : status.ranks) {
    proto::RankStatus& out = *message.add_ranks();
    out.set_rank(rank++);
    out.set_registered(row.registered);
    out.set_process(row.process);
    out.set_host(row.host);
    out.set_seconds_since_heard(row.seconds_since_heard);
    to_message(row.report, *out.mutable_report());
  }
  message.set_restarts(status.restarts);
  message.set_paused(status.paused);
  message.set_stopping(status.stopping);
}

RunStatus from_message(const proto::StatusReply& message) {
  RunStatus status;
  for (const proto::RankStatus& row : message.ranks()) {
    status.ranks.push_back({row.registered(), row.process(), row.host(), row.seconds_since_heard(),
                            from_message(row.report())});
  }
  status.restarts = message.restarts();
  status.paused = message.paused();
  status.stopping = message.stopping();
  return status;
}

}  // namespace athanor
