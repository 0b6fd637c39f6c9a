// A client in C++: asks one service for each of its arguments, all at once.
//
//     c++ -std=c++20 -o client apps/examples/client.cpp $(pkg-config --cflags --libs ropewalk-client)
//     ./client 127.0.0.1:7070 upper many hands
#include <iostream>
#include <ropewalk/client.hpp>
#include <vector>

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "client BROKER SERVICE MESSAGE...\n";
    return 2;
  }
  ropewalk::async_client client{{.broker = argv[1]}};
  std::vector<std::future<ropewalk::async_client::answer>> answers;
  for (int i = 3; i < argc; ++i)
    answers.push_back(client.send({.service = argv[2], .payload = argv[i]}));
  bool all_well = true;
  for (auto& later : answers) {
    const auto answer = later.get();
    all_well = all_well && answer.ok();
    std::cout << ropewalk::async_client::name_of(answer.status) << ' ' << answer.payload << '\n';
  }
  return all_well ? 0 : 1;
}
