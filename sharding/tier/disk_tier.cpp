#include "sharding/tier/disk_tier.h"

#include <exception>
#include <utility>

#include "core/error.h"

namespace athanor {

DiskTier::DiskTier(Allocator& device, Stream* storage, std::filesystem::path directory)
    : device_(device), storage_(storage), directory_(std::move(directory)) {}

DiskTier::~DiskTier() {
  if (storage_ == nullptr) return;
  try {
    storage_->synchronize();  // transfers under way use the files
  } catch (const std::exception&) {
    // The stream has failed, which its next user was told.
  }
}

DiskRegion DiskTier::reserve(int64_t bytes) {
  ATHANOR_CHECK(storage_ != nullptr, "state placed on disk without a storage stream");
  ATHANOR_CHECK(!scratch_, "a region reserved after the file was made");
  const DiskRegion region{reserved_, bytes};
  reserved_ += align_up(bytes, kDiskBlock);
  return region;
}

void DiskTier::open(bool dry) {
  if (reserved_ == 0 && expected_files_.empty()) return;
  if (dry) {
    dry_bounce_ = Buffer(device_, DiskEngine::kBounceBytes);
    return;
  }
  engine_.emplace(device_);
  for (const std::string& path : expected_files_) {
    files_.emplace(path, DiskFile::existing(*engine_, path));
  }
  if (reserved_ > 0) scratch_.emplace(DiskFile::scratch(*engine_, directory_, reserved_));
}

std::string DiskTier::how() const {
  if (scratch_) return scratch_->how();
  return files_.empty() ? "" : files_.begin()->second.how();
}

void DiskTier::read(void* to, const DiskRegion& region, int64_t from, int64_t bytes) {
  ATHANOR_CHECK(from >= 0 && from + bytes <= align_up(region.bytes, kDiskBlock),
                "a read beyond its region");
  if (bytes == 0) return;
  DiskFile* file = scratch_ ? &*scratch_ : nullptr;
  const int64_t offset = region.offset + from;
  reads_ = {reads_.count + 1, reads_.bytes + bytes};
  storage_->submit(Cost{"disk_read", 0, bytes, bytes},
                   [=](ExecContext&) { file->read(to, offset, bytes, "state"); });
}

void DiskTier::write(const void* from, const DiskRegion& region, int64_t to, int64_t bytes) {
  ATHANOR_CHECK(to >= 0 && to + bytes <= align_up(region.bytes, kDiskBlock),
                "a write beyond its region");
  if (bytes == 0) return;
  DiskFile* file = scratch_ ? &*scratch_ : nullptr;
  const int64_t offset = region.offset + to;
  writes_ = {writes_.count + 1, writes_.bytes + bytes};
  storage_->submit(Cost{"disk_write", 0, bytes, bytes},
                   [=](ExecContext&) { file->write(from, offset, bytes, "state"); });
}

void DiskTier::read_in_place(void* to, const FileExtent& extent) {
  DiskFile* file = nullptr;
  if (!extent.path.empty()) {
    const auto known = files_.find(extent.path);
    ATHANOR_CHECK(known != files_.end(), extent.path + " was not expected");
    file = &known->second;
  }
  const int64_t offset = extent.offset;
  const int64_t bytes = extent.bytes;
  reads_ = {reads_.count + 1, reads_.bytes + bytes};
  storage_->submit(Cost{"disk_read", 0, bytes, bytes},
                   [=](ExecContext&) { file->read(to, offset, bytes, "weights"); });
}

}  // namespace athanor
