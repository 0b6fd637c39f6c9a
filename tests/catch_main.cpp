// Catch2 2 wants its main from us; Catch2 3 brings one (see CMakeLists.txt).
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
