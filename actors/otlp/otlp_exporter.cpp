#include "actors/otlp/otlp_exporter.hpp"

#include "actors/log/background_thread.hpp"
#include "actors/log/log_rate_limiter.hpp"
#include "actors/log/wall_clock.hpp"
#include "actors/otlp/http_post.hpp"

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
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

bool is_good(const http_posted& answer) {
  return answer.status >= 200 && answer.status < 300;
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
      : where_(std::move(where)), resource_(std::move(resource)),
        seed_(std::uint64_t{std::random_device{}()} << 32 | std::random_device{}()) {}

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
      lock.unlock(); // nobody else touches a batch that has begun
      const auto answer = post(*batch);
      lock.lock();
      take(answer);
      changed_.notify_all();
      lock.unlock();
      warn(answer);
      lock.lock();
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

  // Each batch has ids of its own for its spans, and the same ones however often it is tried: so a
  // collector that has it already, though its answer was lost, knows it again.
  http_posted post(const std::vector<message_report>& batch) const {
    const auto& first = batch.front();
    std::seed_seq seed{seed_, std::uint64_t{std::hash<std::string>{}(first.id.text())},
                       static_cast<std::uint64_t>(first.came.time_since_epoch().count())};
    std::mt19937_64 random{seed};
    const moment now{clock::now(), wall_now()};
    return post_json(where_, otlp_request(batch, resource_, now, std::ref(random)), post_timeout);
  }

  void take(const http_posted& answer) {
    if (is_good(answer))
      queue_.delivered(rejected_of(answer.body));
    else if (is_temporary(answer.status))
      queue_.failed(clock::now(), answer.retry_after);
    else
      queue_.refused();
  }

  void warn(const http_posted& answer) {
    const auto now = clock::now();
    if (is_good(answer) || (complained_ && now - *complained_ < complaint_interval)) return;
    complained_ = now;
    log_.warn(now, "a collector does not take spans: " +
                       (answer.status == 0
                            ? answer.why
                            : where_.where.text() + " answers " + std::to_string(answer.status)));
  }

  const otlp_url where_;
  const otlp_resource resource_;
  const std::uint64_t seed_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  otlp_queue queue_;
  log_rate_limiter log_;              // the thread's
  std::optional<instant> complained_; // the thread's
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
