#include "runtime/report/event_file.h"

#include <fcntl.h>
#include <proto/tensorboard.pb.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "core/error.h"

namespace athanor {
namespace {

constexpr uint32_t kCastagnoli = 0x82f63b78;  // reflected
constexpr uint32_t kMaskDelta = 0xa282ead8;

constexpr std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table = {};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kCastagnoli : 0);
    table[i] = crc;
  }
  return table;
}

void append_little_endian(std::string& text, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
}

uint32_t checksum(const std::string& text) { return masked_crc32c(std::as_bytes(std::span(text))); }

[[noreturn]] void fail(const std::filesystem::path& path, const char* what) {
  throw Error(ErrorKind::kIo,
              path.string() + ": " + what + ": " + std::generic_category().message(errno));
}

}  // namespace

uint32_t masked_crc32c(std::span<const std::byte> bytes) {
  static constexpr std::array<uint32_t, 256> kTable = crc_table();
  uint32_t crc = ~uint32_t{0};
  for (const std::byte byte : bytes) {
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<uint32_t>(byte)) & 0xff];
  }
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + kMaskDelta;
}

EventFile::EventFile(const std::filesystem::path& folder, double wall_time) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  const std::string name =
      "events.out.tfevents." + std::to_string(static_cast<int64_t>(wall_time)) + ".athanor";
  for (int taken = 0; fd_.get() < 0; ++taken) {
    path_ = folder / (taken == 0 ? name : name + "." + std::to_string(taken));
    fd_ = FileDescriptor(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (fd_.get() < 0 && errno != EEXIST) fail(path_, "cannot create");
  }
  tensorboard::Event event;
  event.set_wall_time(wall_time);
  event.set_file_version("brain.Event:2");
  write_record(event.SerializeAsString());
}

void EventFile::append(int64_t step, double wall_time, std::span<const Scalar> scalars) {
  tensorboard::Event event;
  event.set_wall_time(wall_time);
  event.set_step(step);
  for (const Scalar& scalar : scalars) {
    tensorboard::Summary::Value& value = *event.mutable_summary()->add_value();
    value.set_tag(scalar.tag);
    value.set_simple_value(static_cast<float>(scalar.value));
  }
  write_record(event.SerializeAsString());
}

void EventFile::write_record(const std::string& message) {
  std::string length;
  append_little_endian(length, message.size(), 8);
  std::string record = length;
  append_little_endian(record, checksum(length), 4);
  record += message;
  append_little_endian(record, checksum(message), 4);
  for (size_t done = 0; done < record.size();) {
    const ssize_t written = ::write(fd_.get(), record.data() + done, record.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path_, "cannot write");
    done += static_cast<size_t>(written);
  }
}

}  // namespace athanor
