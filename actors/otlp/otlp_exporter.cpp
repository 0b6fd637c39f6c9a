#include "actors/otlp/otlp_exporter.hpp"

#include "actors/log/background_thread.hpp"
#include "actors/log/log_rate_limiter.hpp"
#include "actors/log/wall_clock.hpp"
#include "actors/otlp/http_post.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <utility>

namespace ropewalk {

namespace {

using clock = std::chrono::steady_clock;

// What a collector has to answer a batch.
constexpr milliseconds post_timeout{10'000};

// A collector that does not take spans is in the log so often.
constexpr std::chrono::minutes complaint_interval{1};

// OTLP names these as worth another try.
bool is_temporary(int status) {
  return status == 0 || status == 429 || status == 502 || status == 503 || status == 504;
}

// Messages of which the collector says that it did not take some spans: it does not say which.
std::uint64_t rejected_of(std::string_view body) {
  const auto answer = nlohmann::json::parse(body, nullptr, false);
  if (!answer.is_object() || !answer.contains("partialSuccess")) return 0;
  const auto& part = answer["partialSuccess"];
  if (!part.is_object() || !part.contains("rejectedSpans")) return 0;
  const auto& count = part["rejectedSpans"];
  if (count.is_number_unsigned()) return count.get<std::uint64_t>();
  return count.is_string() && count.get<std::string>() != "0" ? 1 : 0;
}

} // namespace

class otlp_exporter::state {
public:
  state(otlp_url where, otlp_resource resource)
      : where_(std::move(where)),
        resource_(std::move(resource)), random_{std::uint64_t{std::random_device{}()} << 32 |
                                                std::random_device{}()} {}

  void push(std::vector<message_report>&& messages) {
    {
      const std::lock_guard lock{mutex_};
      for (auto& one : messages) queue_.push(std::move(one), clock::now());
    }
    changed_.notify_all();
  }

  [[nodiscard]] otlp_queue::counts totals() const {
    const std::lock_guard lock{mutex_};
    return queue_.totals();
  }

  void end() {
    {
      const std::lock_guard lock{mutex_};
      ended_ = true;
    }
    changed_.notify_all();
  }

  bool finish(milliseconds timeout) {
    std::unique_lock lock{mutex_};
    queue_.hurry();
    changed_.notify_all();
    return changed_.wait_for(lock, timeout, [this] { return queue_.empty(); });
  }

  void run() {
    std::unique_lock lock{mutex_};
    while (!ended_) {
      const auto* batch = queue_.begin(clock::now());
      if (!batch) {
        wait(lock);
        continue;
      }
      const auto messages = *batch; // shared texts: cheap beside what follows
      lock.unlock();
      const moment now{clock::now(), wall_now()};
      const auto answer =
          post_json(where_, otlp_request(messages, resource_, now, random_), post_timeout);
      lock.lock();
      take(answer);
      changed_.notify_all();
    }
  }

private:
  void wait(std::unique_lock<std::mutex>& lock) {
    const auto due = queue_.due();
    if (!due)
      changed_.wait(lock);
    else
      changed_.wait_until(lock, *due);
  }

  void take(const http_posted& answer) {
    const auto now = clock::now();
    if (answer.status >= 200 && answer.status < 300)
      return queue_.delivered(rejected_of(answer.body));
    if (is_temporary(answer.status))
      queue_.failed(now, answer.retry_after);
    else
      queue_.refused();
    if (now - complained_ < complaint_interval) return;
    complained_ = now;
    log_.warn(now, "a collector does not take spans: " +
                       (answer.status == 0
                            ? answer.why
                            : where_.where.text() + " answers " + std::to_string(answer.status)));
  }

  const otlp_url where_;
  const otlp_resource resource_;
  std::mt19937_64 random_; // the thread's
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  otlp_queue queue_;
  log_rate_limiter log_; // the thread's
  instant complained_{};
  bool ended_ = false;
};

otlp_exporter::otlp_exporter(otlp_url where, otlp_resource resource)
    : state_(std::make_shared<state>(std::move(where), std::move(resource))) {
  start_background_thread([mine = state_] { mine->run(); });
}

otlp_exporter::~otlp_exporter() {
  state_->end();
}

void otlp_exporter::push(std::vector<message_report>&& messages) {
  state_->push(std::move(messages));
}

otlp_queue::counts otlp_exporter::totals() const {
  return state_->totals();
}

bool otlp_exporter::finish(milliseconds timeout) {
  return state_->finish(timeout);
}

} // namespace ropewalk
