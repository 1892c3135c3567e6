// A TensorBoard event file: tensorflow.Event messages (proto/tensorboard.proto) in TFRecord
// framing: length u64, masked CRC-32C of the length, message, masked CRC-32C of the message, little
// endian. Source: TensorFlow's documentation of TFRecord and event.proto.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "runtime/io/atomic_file.h"

namespace athanor {

// CRC-32C (Castagnoli, RFC 3720) of bytes, rotated and offset as TFRecord wants it.
uint32_t masked_crc32c(std::span<const std::byte> bytes);

struct Scalar {
  std::string tag;
  double value = 0;
};

class EventFile {
 public:
  // Creates folder/events.out.tfevents.SECONDS.athanor, with a number behind it where that is
  // taken. wall_time in seconds since 1970. Error(kIo).
  EventFile(const std::filesystem::path& folder, double wall_time);
  // One event of all scalars, by one write(2).
  void append(int64_t step, double wall_time, std::span<const Scalar> scalars);

 private:
  void write_record(const std::string& message);

  std::filesystem::path path_;
  FileDescriptor fd_;
};

}  // namespace athanor
