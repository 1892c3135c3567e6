// How `athanor status RUN` finds the coordinator of a run: a file in the run's folder of logs says
// where its socket is.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace athanor {

// The file is there as long as this object; what a killed launcher has left is removed first, the
// file and the socket that it names.
class PublishedSocket {
 public:
  PublishedSocket(const std::filesystem::path& logs, const std::filesystem::path& socket);
  ~PublishedSocket();
  PublishedSocket(const PublishedSocket&) = delete;
  PublishedSocket& operator=(const PublishedSocket&) = delete;

 private:
  std::filesystem::path file_;
};

// Nothing when there is no such file, or nobody listens any more at the socket that it names.
std::optional<std::string> find_published_socket(const std::filesystem::path& logs);

}  // namespace athanor
