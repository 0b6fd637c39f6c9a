#include "actors/worker/function_handler.hpp"

#include "net/bytes/shared_string.hpp"

#include <exception>
#include <utility>

namespace ropewalk {

namespace {

class function_slot final : public handler {
public:
  explicit function_slot(worker::function_maker makes) : makes_(std::move(makes)) {}

  result<void> start() override {
    try {
      does_ = makes_();
    } catch (const std::exception& why) {
      return failure{failure_kind::unavailable, why.what(), {}};
    }
    if (does_) return {};
    return failure{failure_kind::bad_input, "its function is empty", {}};
  }

  outcome run(invocation& what) override {
    try {
      return {error_code::ok, share(does_({what.service, what.payload.view(), what.attempt,
                                           what.deadline, what.stop}))};
    } catch (const worker::busy& why) {
      return not_started(why.what());
    } catch (const std::exception& why) {
      return failed(why.what());
    } catch (...) {
      return failed("something that is no std::exception was thrown");
    }
  }

  void stop() override { does_ = {}; }

private:
  const worker::function_maker makes_;
  worker::function does_;
};

} // namespace

handler_spec function_handler(worker::function_maker makes) {
  handler_spec spec;
  spec.text = "a function of this program";
  spec.runs_in_node = true;
  spec.maker = [makes = std::move(makes)](const handler_options&) {
    return std::make_unique<function_slot>(makes);
  };
  return spec;
}

worker::worker() : contents_(std::make_unique<contents>()) {}
worker::~worker() = default;

worker& worker::service(std::string name, function does) {
  return service_per_slot(std::move(name), [does = std::move(does)] { return does; });
}

worker& worker::service_per_slot(std::string name, function_maker makes) {
  contents_->services.push_back({std::move(name), function_handler(std::move(makes))});
  return *this;
}

} // namespace ropewalk
