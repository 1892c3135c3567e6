#include "runtime/config/option_names.h"

#include "core/error.h"
#include "runtime/config/config_keys.h"

namespace athanor {
namespace {

// The first name of a value is the one that is written.
template <class E>
const char* first_name(std::span<const config_detail::Choice<E>> choices, E value) {
  for (const config_detail::Choice<E>& choice : choices) {
    if (choice.value == value) return choice.name;
  }
  throw Error(ErrorKind::kInternal, "an option without a name");
}

}  // namespace

const char* option_name(ScheduleOption option) {
  return first_name(config_detail::choices(config_detail::kSchedules), option);
}

const char* option_name(CheckpointingOption option) {
  return first_name(config_detail::choices(config_detail::kCheckpointing), option);
}

}  // namespace athanor
