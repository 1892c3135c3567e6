// The JSON values of a .jsonl file (one per line) or a .json file (the elements of one array), one
// at a time, each with its place. With .zst behind the ending, compressed. Internal to
// runtime/data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>

#include "runtime/data/json_text.h"

namespace athanor {

inline constexpr int64_t kMaxRecordBytes = int64_t{64} << 20;

// Gets the text of a record, not yet parsed; returns false to stop reading.
using RecordTextHandler = std::function<bool(std::string_view json, TextPlace start)>;

// kConfig when the file is missing or has another ending, kBadInput when it is malformed.
void read_record_texts(const std::filesystem::path& file, const RecordTextHandler& handle,
                       int64_t max_record_bytes = kMaxRecordBytes);

}  // namespace athanor
