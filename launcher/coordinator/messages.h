// Between the messages of proto/coordinator.proto and the types of run_watch.h. Internal to this
// folder.
#pragma once

#include "launcher/coordinator/run_watch.h"

namespace athanor::proto {
class RankReport;
class StatusReply;
}  // namespace athanor::proto

namespace athanor {

void to_message(const RankReport& report, proto::RankReport& message);
// What is out of range becomes what an old rank would say: messages come from other processes.
RankReport from_message(const proto::RankReport& message);

void to_message(const RunStatus& status, proto::StatusReply& message);
RunStatus from_message(const proto::StatusReply& message);

}  // namespace athanor
