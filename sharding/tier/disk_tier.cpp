#include "sharding/tier/disk_tier.h"

#include <cstdio>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/settle.h"

namespace athanor {
namespace {

// Made for each transfer, so without memory of its own.
class LabelText {
 public:
  explicit LabelText(const DiskLabel& label) {
    std::snprintf(text_, sizeof text_, "%s%s%s", label.state, *label.unit == 0 ? "" : " of ",
                  label.unit);
  }
  std::string_view view() const { return text_; }

 private:
  char text_[160];
};

}  // namespace

DiskTier::DiskTier(Allocator& device, Stream* storage, std::filesystem::path directory)
    : device_(device), storage_(storage), directory_(std::move(directory)) {}

DiskTier::~DiskTier() {
  if (storage_ != nullptr) settle(*storage_);  // transfers under way use the files
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
  if (!scratch_ && files_.empty()) return "";
  const std::string how = scratch_ ? scratch_->how() : files_.begin()->second.how();
  return how + (engine_->refusal().empty() ? "" : "; " + engine_->refusal());
}

// The file of a transfer from or to a region; null in a plan.
DiskFile* DiskTier::scratch_in(const DiskRegion& region, int64_t at, int64_t bytes) {
  ATHANOR_CHECK(at >= 0 && at + bytes <= align_up(region.bytes, kDiskBlock),
                "a transfer beyond its region");
  return scratch_ ? &*scratch_ : nullptr;
}

void DiskTier::submit_read(DiskFile* file, void* to, int64_t offset, int64_t bytes,
                           DiskLabel label) {
  reads_ = {reads_.count + 1, reads_.bytes + bytes};
  storage_->submit(Cost{"disk_read", 0, bytes, bytes},
                   [=](ExecContext&) { file->read(to, offset, bytes, LabelText(label).view()); });
}

void DiskTier::read(void* to, const DiskRegion& region, int64_t from, int64_t bytes,
                    const DiskLabel& label) {
  DiskFile* file = scratch_in(region, from, bytes);
  if (bytes > 0) submit_read(file, to, region.offset + from, bytes, label);
}

void DiskTier::write(const void* from, const DiskRegion& region, int64_t to, int64_t bytes,
                     const DiskLabel& label) {
  DiskFile* file = scratch_in(region, to, bytes);
  if (bytes == 0) return;
  const int64_t offset = region.offset + to;
  writes_ = {writes_.count + 1, writes_.bytes + bytes};
  storage_->submit(Cost{"disk_write", 0, bytes, bytes}, [=](ExecContext&) {
    file->write(from, offset, bytes, LabelText(label).view());
  });
}

void DiskTier::read_in_place(void* to, const FileExtent& extent, const DiskLabel& label) {
  DiskFile* file = nullptr;
  if (!extent.path.empty()) {
    const auto known = files_.find(extent.path);
    ATHANOR_CHECK(known != files_.end(), extent.path + " was not expected");
    file = &known->second;
  }
  submit_read(file, to, extent.offset, extent.bytes, label);
}

}  // namespace athanor
