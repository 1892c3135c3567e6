// gRPC as this program uses it. Internal to this folder.
#pragma once

namespace athanor {

// Before the first use, any number of times. gRPC then stays up until the process ends, because its
// shutdown may wait ten seconds for a connection that is just being closed; and it keeps silent:
// what fails is an Error here, and the log is for the user.
void prepare_grpc();

}  // namespace athanor
