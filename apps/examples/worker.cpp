// A worker of one's own in C++: services made of functions.
//
//     c++ -std=c++20 -o worker apps/examples/worker.cpp $(pkg-config --cflags --libs ropewalk-worker)
//     ./worker --slots 4        (the options of `ropewalk worker`)
#include <algorithm>
#include <ropewalk/worker.hpp>

int main(int argc, char** argv) {
  using request = ropewalk::worker::request;
  ropewalk::worker me;
  me.service("reverse", [](const request& r) {
    if (r.payload.empty()) throw std::invalid_argument("there is nothing to reverse");
    return std::string{r.payload.rbegin(), r.payload.rend()};
  });
  me.service_per_slot("count", [] { // each slot counts its own
    return [runs = 0u](const request&) mutable { return std::to_string(++runs); };
  });
  return me.run(argc, argv);
}
