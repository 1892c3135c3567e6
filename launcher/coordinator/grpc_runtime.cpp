#include "launcher/coordinator/grpc_runtime.h"

#include <grpc/grpc.h>
#include <grpc/support/log.h>

namespace athanor {

void prepare_grpc() {
  static const bool done = [] {
    gpr_set_log_function([](gpr_log_func_args*) {});
    grpc_init();
    return true;
  }();
  static_cast<void>(done);
}

}  // namespace athanor
