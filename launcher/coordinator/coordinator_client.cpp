#include "launcher/coordinator/coordinator_client.h"

#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>

#include <proto/coordinator.grpc.pb.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "core/cores.h"
#include "core/error.h"
#include "launcher/coordinator/grpc_runtime.h"
#include "launcher/coordinator/messages.h"
#include "launcher/coordinator/private_socket.h"

namespace athanor {
namespace {

constexpr std::chrono::milliseconds kBeat{200};
constexpr std::chrono::seconds kRetry{2};
constexpr std::chrono::seconds kDeadline{20};  // a launcher may share its core with many ranks

RankReport look_at(const Activity& activity) {
  RankReport report;
  report.step = activity.step.load(std::memory_order_relaxed);
  report.total_steps = activity.total_steps.load(std::memory_order_relaxed);
  report.section = activity.section.load(std::memory_order_relaxed);
  report.ticks = activity.ticks.load(std::memory_order_relaxed);
  // In this order, so that a round that is done has been seen to begin.
  report.exchanges_done = activity.exchanges_done.load(std::memory_order_relaxed);
  report.exchanges_begun = activity.exchanges_begun.load(std::memory_order_relaxed);
  report.loss = activity.loss.load(std::memory_order_relaxed);
  report.learning_rate = activity.learning_rate.load(std::memory_order_relaxed);
  report.tokens_per_second = activity.tokens_per_second.load(std::memory_order_relaxed);
  return report;
}

proto::Ask message_of(Ask ask) {
  switch (ask) {
    case Ask::kStop:
      return proto::ASK_STOP;
    case Ask::kSave:
      return proto::ASK_SAVE;
    case Ask::kPause:
      return proto::ASK_PAUSE;
    case Ask::kResume:
      return proto::ASK_RESUME;
  }
  return proto::ASK_NOTHING;
}

}  // namespace

class CoordinatorClient::Impl {
 public:
  explicit Impl(const std::string& socket) {
    prepare_grpc();
    channel_ = grpc::CreateInsecureChannelFromFd("coordinator", connect_private(socket).release());
    stub_ = proto::Coordinator::NewStub(channel_);
  }

  template <class Reply, class Request>
  Reply call(std::unique_ptr<grpc::ClientWriter<Request>> (proto::Coordinator::Stub::*method)(
                 grpc::ClientContext*, Reply*),
             const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kDeadline);
    Reply reply;
    const auto writer = (stub_.get()->*method)(&context, &reply);
    if (writer->Write(request)) writer->WritesDone();
    const grpc::Status status = writer->Finish();
    if (!status.ok()) {
      throw Error(ErrorKind::kLostPeer, "coordinator: no answer: " + status.error_message());
    }
    return reply;
  }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<proto::Coordinator::Stub> stub_;
};

CoordinatorClient::CoordinatorClient(const std::string& socket)
    : impl_(std::make_unique<Impl>(socket)) {}
CoordinatorClient::~CoordinatorClient() = default;

CoordinatorClient::Welcome CoordinatorClient::introduce(const RankIntroduction& introduction) {
  proto::RegisterRequest request;
  request.set_rank(introduction.rank);
  request.set_world_size(introduction.world_size);
  request.set_process(introduction.process);
  request.set_host(introduction.host);
  request.set_program(introduction.identity.program);
  request.set_config(introduction.identity.config);
  const auto reply = impl_->call(&proto::Coordinator::Stub::Register, request);
  return {reply.refusal(), reply.paused()};
}

CoordinatorClient::Answer CoordinatorClient::beat(int rank, int64_t process,
                                                  const RankReport& report, bool last) {
  proto::HeartbeatRequest request;
  request.set_rank(rank);
  request.set_process(process);
  to_message(report, *request.mutable_report());
  request.set_last(last);
  const auto reply = impl_->call(&proto::Coordinator::Stub::Heartbeat, request);
  return {reply.known(), reply.paused()};
}

RunStatus CoordinatorClient::status() {
  return from_message(impl_->call(&proto::Coordinator::Stub::Status, proto::StatusRequest()));
}

std::string CoordinatorClient::ask(Ask ask) {
  proto::CommandRequest request;
  request.set_ask(message_of(ask));
  return impl_->call(&proto::Coordinator::Stub::Command, request).refusal();
}

class Heartbeats::Impl {
 public:
  Impl(const std::string& socket, const RankIntroduction& introduction, Activity& activity)
      : client_(socket),
        rank_(introduction.rank),
        process_(introduction.process),
        activity_(activity) {
    const CoordinatorClient::Welcome welcome = client_.introduce(introduction);
    if (!welcome.refusal.empty()) throw Error(ErrorKind::kConfig, welcome.refusal);
    activity_.pause = welcome.paused;
    thread_ = std::thread([this] { beat_until_told(); });
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    told_.notify_one();
    thread_.join();
  }

 private:
  // A coordinator that is gone takes this process with it (PR_SET_PDEATHSIG), or mpirun does. One
  // that does not answer may have been stopped, and hears from this rank again when it goes on.
  void beat_until_told() {
    float_this_thread();
    bool ending = false;
    bool answered = true;
    while (!ending) {
      {
        std::unique_lock lock(mutex_);
        ending = told_.wait_for(lock, answered ? kBeat : kRetry, [this] { return ending_; });
      }
      answered = false;
      try {
        const auto answer = client_.beat(rank_, process_, look_at(activity_), ending);
        activity_.pause = answer.paused;
        answered = true;
      } catch (const Error&) {
        activity_.pause = false;  // nobody could end it
      }
    }
  }

  CoordinatorClient client_;
  const int rank_;
  const int64_t process_;
  Activity& activity_;
  std::mutex mutex_;
  std::condition_variable told_;
  bool ending_ = false;
  std::thread thread_;
};

Heartbeats::Heartbeats(const std::string& socket, const RankIntroduction& introduction,
                       Activity& activity)
    : impl_(std::make_unique<Impl>(socket, introduction, activity)) {}
Heartbeats::~Heartbeats() = default;

}  // namespace athanor
