// All transfers of a round are in flight together, without blocking, in one poll loop: no order of
// sends and receives between ranks can deadlock. A stream keeps the order of rounds.
#include "sharding/comm/socket_communicator.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "sharding/comm/exchange_communicator.h"

namespace athanor {
namespace {

// What is still to be sent to and received from one peer.
struct Transfer {
  int peer = 0;
  const std::byte* out = nullptr;
  int64_t out_left = 0;
  std::byte* in = nullptr;
  int64_t in_left = 0;
};

class SocketCommunicator final : public ExchangeCommunicator {
 public:
  SocketCommunicator(int rank, std::vector<int> sockets, Allocator& allocator)
      : ExchangeCommunicator(rank, narrow<int>(sockets.size()), allocator),
        sockets_(std::move(sockets)) {
    transfers_.reserve(sockets_.size());
    polled_.reserve(sockets_.size());
  }

  ~SocketCommunicator() override {
    for_peers([&](int peer) { ::close(socket(peer)); });
  }

  // Peers read the end of the stream, and so does a call of ours that waits.
  void abort(const std::string&, int) noexcept override {
    aborted_.store(true);
    for_peers([&](int peer) { ::shutdown(socket(peer), SHUT_RDWR); });
  }

 protected:
  void do_all_gather(void* out, const void* in, int64_t bytes, Stream& stream) override {
    stream.submit(Cost{"all_gather", 0, bytes, bytes * (world_size() - 1)},
                  [this, out, in, bytes](ExecContext&) {
                    auto* base = static_cast<std::byte*>(out);
                    std::byte* own = base + rank() * bytes;
                    if (own != in) std::memcpy(own, in, static_cast<size_t>(bytes));
                    transfers_.clear();
                    for_peers([&](int peer) {
                      transfers_.push_back({peer, own, bytes, base + peer * bytes, bytes});
                    });
                    watched();
                  });
  }

  void exchange_chunk(const float* in, int64_t stride, int64_t count, int present) override {
    transfers_.clear();
    for_peers([&](int peer) {
      transfers_.push_back({peer, reinterpret_cast<const std::byte*>(in + peer * stride),
                            rank() < present ? count * 4 : 0,
                            reinterpret_cast<std::byte*>(staging(peer)),
                            peer < present ? count * 4 : 0});
    });
    watched();
  }

  void do_barrier(Stream& stream) override {
    stream.submit(Cost{"barrier"}, [this](ExecContext&) {
      transfers_.clear();
      const std::byte token{1};
      for_peers([&](int peer) {
        transfers_.push_back({peer, &token, 1, reinterpret_cast<std::byte*>(staging(peer)), 1});
      });
      watched();
    });
  }

 private:
  void watched() {
    watched_exchange(activity(), [this] { exchange(); });
  }

  // Returns when every transfer is complete.
  void exchange() {
    while (true) {
      polled_.clear();
      for (Transfer& transfer : transfers_) {
        while (transfer.out_left > 0 && send_some(transfer)) {
        }
        while (transfer.in_left > 0 && receive_some(transfer)) {
        }
        const int events =
            (transfer.out_left > 0 ? POLLOUT : 0) | (transfer.in_left > 0 ? POLLIN : 0);
        if (events != 0) {
          polled_.push_back({socket(transfer.peer), static_cast<short>(events), 0});
        }
      }
      if (polled_.empty()) return;
      if (::poll(polled_.data(), polled_.size(), -1) < 0 && errno != EINTR) {
        throw Error(ErrorKind::kIo, std::string("poll: ") + std::strerror(errno));
      }
    }
  }

  // False when the socket would block.
  bool send_some(Transfer& transfer) {
    const ssize_t sent =
        ::send(socket(transfer.peer), transfer.out, static_cast<size_t>(transfer.out_left),
               MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return retry(transfer.peer);
    transfer.out += sent;
    transfer.out_left -= sent;
    return true;
  }

  bool receive_some(Transfer& transfer) {
    const ssize_t got = ::recv(socket(transfer.peer), transfer.in,
                               static_cast<size_t>(transfer.in_left), MSG_DONTWAIT);
    if (got == 0) lost(transfer.peer);
    if (got < 0) return retry(transfer.peer);
    transfer.in += got;
    transfer.in_left -= got;
    return true;
  }

  bool retry(int peer) const {
    if (errno == EINTR) return true;
    if (errno != EAGAIN && errno != EWOULDBLOCK) lost(peer);
    return false;
  }

  [[noreturn]] void lost(int peer) const {
    if (aborted_.load()) throw Error(ErrorKind::kLostPeer, "this rank has stopped");
    throw Error(ErrorKind::kLostPeer, "rank " + std::to_string(peer) +
                                          " closed its connection; its own message has the cause");
  }

  int socket(int peer) const { return sockets_[static_cast<size_t>(peer)]; }

  std::vector<int> sockets_;
  std::vector<Transfer> transfers_;
  std::vector<pollfd> polled_;
  std::atomic<bool> aborted_{false};
};

}  // namespace

std::unique_ptr<Communicator> make_socket_communicator(int rank, std::vector<int> sockets,
                                                       Allocator& allocator) {
  ATHANOR_CHECK(rank >= 0 && rank < narrow<int>(sockets.size()), "rank outside the world");
  return std::make_unique<SocketCommunicator>(rank, std::move(sockets), allocator);
}

}  // namespace athanor
