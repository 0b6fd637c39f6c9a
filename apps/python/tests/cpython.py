"""CPython's own tests of ProcessPoolExecutor, with Executor in its place. Run by test_cpython.py, in a process of its own:

    python3 tests/cpython.py [WORD...]     says the result of each test, or of those of classes with such a word, as a line of JSON
"""

import concurrent.futures
import importlib
import json
import sys
import time
import unittest

import ropewalk

MODULES = ["", ".test_as_completed", ".test_deadlock", ".test_init", ".test_process_pool", ".test_shutdown", ".test_wait"]
PREFIX = "ProcessPoolSpawn"

NOT_BROKEN = "a process that dies does not break the executor"
INSIDES = "looks at the insides of ProcessPoolExecutor"
AT_EXIT = "an interpreter that ends does not wait for calls (unless by `with`), and ends within a second"

# Test (or class and test) -> why it is not run.
SKIPPED = {
    "test_killed_child": NOT_BROKEN,
    "test_traceback_when_child_process_terminates_abruptly": NOT_BROKEN,
    "test_saturation": INSIDES,
    "test_idle_process_reuse_one": INSIDES,
    "test_idle_process_reuse_multiple": INSIDES,
    "test_max_tasks_per_child": INSIDES,
    "test_max_tasks_per_child_defaults_to_spawn_context": INSIDES,
    "test_max_tasks_early_shutdown": INSIDES,
    "test_processes_terminate": INSIDES,
    "test_del_shutdown": INSIDES,
    "test_shutdown_no_wait": INSIDES,
    "ProcessPoolShutdownTest.test_context_manager_shutdown": INSIDES,
    "test_python_finalization_error": INSIDES,
    "test_terminate_workers": INSIDES,
    "test_kill_workers": INSIDES,
    "test_max_workers_too_large": "a limit of Windows",
    "test_interpreter_shutdown": AT_EXIT,
    "test_submit_after_interpreter_shutdown": AT_EXIT,
    "FailingInitializerTest.test_initializer": "gives processes a multiprocessing.Queue, which they can only inherit",
    "test_cancel_futures": "wants calls to have begun at once: here all are cancelled, since the private cluster is still starting",
    "test_traceback": "its cause is ropewalk.RemoteTraceback, and the test wants the private class of the standard library",
}

# The others of that class want BrokenProcessPool.
RUN_OF_DEADLOCK = (
    "test_error_at_task_pickle",
    "test_error_during_func_exec_on_worker",
    "test_exit_during_func_exec_on_worker",
    "test_error_during_result_pickle_on_worker",
)


def swap(module):
    for name in dir(module):
        cls = getattr(module, name)
        if isinstance(cls, type) and issubclass(cls, unittest.TestCase) and name.startswith(PREFIX):
            cls.executor_type = ropewalk.Executor
            cls.worker_count = 2
            yield cls


def reason(cls, test):
    name = cls.__name__[len(PREFIX):]
    for key, why in SKIPPED.items():
        if key in (test, f"{name}.{test}", f"{name.replace('ProcessPoolProcessPool', 'ProcessPool')}.{test}"):
            return why
    if "Deadlock" in name and test not in RUN_OF_DEADLOCK:
        return NOT_BROKEN
    return None


def main():
    out, sys.stdout = sys.stdout, sys.stderr  # what tests print is not ours
    concurrent.futures.ProcessPoolExecutor = ropewalk.Executor
    wanted = sys.argv[1:]
    for name in MODULES:
        try:
            module = importlib.import_module(f"test.test_concurrent_futures{name}")
        except ModuleNotFoundError:
            continue
        for cls in swap(module):
            for test in unittest.defaultTestLoader.getTestCaseNames(cls):
                if wanted and not any(word in cls.__name__ for word in wanted):
                    continue
                why = reason(cls, test)
                began = time.monotonic()
                result = unittest.TestResult()
                if why is None:
                    cls(test).run(result)
                bad = [text for _, text in result.failures + result.errors]
                said = why or (result.skipped[0][1] if result.skipped else "")
                print(json.dumps({"test": f"{cls.__name__}.{test}", "failed": "\n".join(bad), "skipped": said, "seconds": time.monotonic() - began}), file=out, flush=True)


if __name__ == "__main__":
    main()
