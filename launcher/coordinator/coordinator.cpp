// Connections are accepted here rather than by gRPC, so that the user of each is known before a
// byte of it is read; gRPC gets their descriptors.
#include "launcher/coordinator/coordinator.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/server_posix.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <proto/coordinator.grpc.pb.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/log.h"
#include "launcher/coordinator/grpc_runtime.h"
#include "launcher/coordinator/messages.h"
#include "launcher/coordinator/private_socket.h"

namespace athanor {
namespace {

using Clock = RunWatch::Clock;

constexpr int kMaxMessageBytes = 64 << 10;
constexpr size_t kMaxMemoryBytes = size_t{64} << 20;  // of all connections together
constexpr int kMaxIdleMs = 10 * 60 * 1000;
constexpr std::chrono::seconds kFirstBytes{10};  // for a connection to say what it is
constexpr size_t kMaxWaiting = 256;              // connections that have not

// How every HTTP/2 connection begins.
constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// A peer that is turned away over and over fills no log.
class Rejections {
 public:
  void log(const std::string& kind, const std::string& detail) {
    const std::lock_guard lock(mutex_);
    if (!seen_.insert(kind).second) return;
    log_warning("coordinator: rejected " + kind + detail + "; further ones are not logged");
  }

 private:
  std::mutex mutex_;
  std::set<std::string> seen_;
};

class Service final : public proto::Coordinator::Service {
 public:
  Service(RunWatch& watch, Rejections& rejections) : watch_(watch), rejections_(rejections) {}

  grpc::Status Register(grpc::ServerContext*, grpc::ServerReader<proto::RegisterRequest>* reader,
                        proto::RegisterReply* reply) override {
    return answer(reader, [&](const proto::RegisterRequest& request) {
      RankIntroduction introduction;
      introduction.rank = request.rank();
      introduction.world_size = request.world_size();
      introduction.process = request.process();
      introduction.host = request.host();
      introduction.identity = {request.program(), request.config()};
      reply->set_refusal(watch_.introduce(introduction, Clock::now()));
      reply->set_paused(watch_.paused());
    });
  }

  grpc::Status Heartbeat(grpc::ServerContext*, grpc::ServerReader<proto::HeartbeatRequest>* reader,
                         proto::HeartbeatReply* reply) override {
    return answer(reader, [&](const proto::HeartbeatRequest& request) {
      reply->set_known(watch_.beat(request.rank(), request.process(),
                                   from_message(request.report()), request.last(), Clock::now()));
      reply->set_paused(watch_.paused());
    });
  }

  grpc::Status Status(grpc::ServerContext*, grpc::ServerReader<proto::StatusRequest>* reader,
                      proto::StatusReply* reply) override {
    return answer(reader, [&](const proto::StatusRequest&) {
      to_message(watch_.status(Clock::now()), *reply);
    });
  }

  grpc::Status Command(grpc::ServerContext*, grpc::ServerReader<proto::CommandRequest>* reader,
                       proto::CommandReply* reply) override {
    return answer(reader, [&](const proto::CommandRequest& request) {
      switch (request.ask()) {
        case proto::ASK_STOP:
          return watch_.ask(Ask::kStop);
        case proto::ASK_SAVE:
          return watch_.ask(Ask::kSave);
        case proto::ASK_PAUSE:
          return watch_.ask(Ask::kPause);
        case proto::ASK_RESUME:
          return watch_.ask(Ask::kResume);
        default:
          reply->set_refusal("unknown command " + std::to_string(request.ask()));
      }
    });
  }

 private:
  template <class Request, class Handle>
  grpc::Status answer(grpc::ServerReader<Request>* reader, const Handle& handle) {
    Request request;
    if (reader->Read(&request)) {
      handle(request);
      return grpc::Status::OK;
    }
    rejections_.log("a message", " that is malformed, larger than " +
                                     std::to_string(kMaxMessageBytes) +
                                     " bytes or not sent to its end");
    return {grpc::StatusCode::INVALID_ARGUMENT, "one small message is needed"};
  }

  RunWatch& watch_;
  Rejections& rejections_;
};

std::unique_ptr<grpc::Server> start_server(Service& service) {
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetResourceQuota(grpc::ResourceQuota("coordinator").Resize(kMaxMemoryBytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kMaxIdleMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 8);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 4 << 10);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MAX_POLLERS, 2);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) throw Error(ErrorKind::kInternal, "coordinator: gRPC does not start");
  return server;
}

}  // namespace

class Coordinator::Impl {
 public:
  explicit Impl(RunWatch& watch) : service_(watch, rejections_) {
    prepare_grpc();
    server_ = start_server(service_);
    if (::pipe2(wake_.data(), O_CLOEXEC) != 0) {
      throw Error(ErrorKind::kIo, "coordinator: no pipe");
    }
    acceptor_ = std::thread([this] { accept_all(); });
  }

  ~Impl() {
    ::close(wake_[1]);  // the other end wakes up
    acceptor_.join();
    ::close(wake_[0]);
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
    server_->Wait();
  }

  const std::filesystem::path& path() const { return socket_.path(); }

 private:
  struct Waiting {
    FileDescriptor connection;
    Clock::time_point since;
    bool begun = false;  // some of its first bytes are there, and would be announced over and over
  };

  void accept_all() {
    std::vector<Waiting> waiting;
    while (true) {
      std::vector<pollfd> polled = {{wake_[0], POLLIN, 0}, {socket_.descriptor(), POLLIN, 0}};
      for (const Waiting& peer : waiting) {
        const short events = peer.begun ? 0 : POLLIN;
        polled.push_back({peer.connection.get(), events, 0});
      }
      ::poll(polled.data(), polled.size(), waiting.empty() ? -1 : 100);
      if (polled[0].revents != 0) return;
      std::vector<Waiting> rest;
      for (Waiting& peer : waiting) {
        if (!decide(peer)) rest.push_back(std::move(peer));
      }
      waiting = std::move(rest);
      if (polled[1].revents != 0) accept_one(waiting);
    }
  }

  void accept_one(std::vector<Waiting>& waiting) {
    FileDescriptor connection(
        ::accept4(socket_.descriptor(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (connection.get() < 0) {
      // Out of descriptors, most likely; the loop must not spin.
      if (errno != EAGAIN) std::this_thread::sleep_for(std::chrono::milliseconds(50));
      return;
    }
    const int64_t user = peer_user(connection.get());
    if (user != static_cast<int64_t>(::geteuid())) {
      rejections_.log("a connection of another user", " (" + std::to_string(user) + ")");
    } else if (waiting.size() >= kMaxWaiting) {
      rejections_.log("a connection", ": too many have not said what they are");
    } else {
      waiting.push_back({std::move(connection), Clock::now()});
    }
  }

  // False while its first bytes have not all come.
  bool decide(Waiting& peer) {
    std::array<char, kHttp2Preface.size()> bytes;
    const ssize_t got = ::recv(peer.connection.get(), bytes.data(), bytes.size(), MSG_PEEK);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
      return Clock::now() - peer.since > kFirstBytes;
    }
    if (got <= 0) return true;  // it has gone again
    const std::string_view begin(bytes.data(), static_cast<size_t>(got));
    if (!kHttp2Preface.starts_with(begin)) {
      rejections_.log("a connection that does not speak gRPC", "");
      return true;
    }
    peer.begun = true;
    if (begin.size() < kHttp2Preface.size()) return Clock::now() - peer.since > kFirstBytes;
    grpc::AddInsecureChannelFromFd(server_.get(), peer.connection.release());
    return true;
  }

  PrivateSocket socket_;
  Rejections rejections_;
  Service service_;
  std::unique_ptr<grpc::Server> server_;
  std::array<int, 2> wake_ = {-1, -1};
  std::thread acceptor_;
};

Coordinator::Coordinator(RunWatch& watch) : impl_(std::make_unique<Impl>(watch)) {}
Coordinator::~Coordinator() = default;
const std::filesystem::path& Coordinator::socket() const { return impl_->path(); }

}  // namespace athanor
