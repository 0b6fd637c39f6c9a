# What programs of one's own are built with, and what is installed of it: two shared libraries, their headers, and how CMake
# and pkg-config find them.
#
# Shared, and not the archives of which they are made: those are full of names that are nobody else's, compiled for this
# linker's optimiser, and would need the headers and libraries of CAF, spdlog and OpenSSL wherever somebody links with them.
# A shared library exports what its header declares (NAME.exports), and nothing else.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Where it is installed is said only then (--prefix).
file(RELATIVE_PATH prefix_from_pkgconfig /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)

function(installed_library name description)
  cmake_parse_arguments(arg "" "" "FILES;NEEDS" ${ARGN})
  add_library(ropewalk-${name} SHARED ${arg_FILES})
  target_link_libraries(ropewalk-${name} PRIVATE ${arg_NEEDS})
  checked_library(ropewalk-${name})
  set(exports ${CMAKE_SOURCE_DIR}/.cmake/${name}.exports)
  target_link_options(ropewalk-${name} PRIVATE -Wl,--version-script=${exports} -Wl,--no-undefined)
  set_target_properties(ropewalk-${name} PROPERTIES
                        EXPORT_NAME ${name} VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
                        LINK_DEPENDS ${exports} LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
  target_compile_features(ropewalk-${name} INTERFACE cxx_std_20)
  target_include_directories(ropewalk-${name} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  install(TARGETS ropewalk-${name} EXPORT RopewalkTargets)
  configure_file(${CMAKE_SOURCE_DIR}/.cmake/ropewalk.pc.in ${CMAKE_BINARY_DIR}/ropewalk-${name}.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/ropewalk-${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()

installed_library(client "clients of a Ropewalk broker" FILES net/client/async_client.cpp NEEDS ropewalk_tls Threads::Threads)
installed_library(worker "workers for a Ropewalk broker, with services of their own"
                  FILES apps/ropewalk/own_worker.cpp apps/ropewalk/own_actors.cpp actors/worker/function_handler.cpp
                  NEEDS ropewalk_worker_command)

# Services of actors: the same library, and CAF's, which the header is made of.
configure_file(${CMAKE_SOURCE_DIR}/.cmake/ropewalk-actors.pc.in ${CMAKE_BINARY_DIR}/ropewalk-actors.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/ropewalk-actors.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(FILES ${CMAKE_BINARY_DIR}/include/ropewalk/library.h ${CMAKE_BINARY_DIR}/include/ropewalk/worker.hpp
              ${CMAKE_BINARY_DIR}/include/ropewalk/actors.hpp
              ${CMAKE_BINARY_DIR}/include/ropewalk/client.hpp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/ropewalk)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
set(config_folder ${CMAKE_INSTALL_LIBDIR}/cmake/Ropewalk)
install(EXPORT RopewalkTargets NAMESPACE Ropewalk:: DESTINATION ${config_folder})
configure_package_config_file(${CMAKE_SOURCE_DIR}/.cmake/RopewalkConfig.cmake.in ${CMAKE_BINARY_DIR}/RopewalkConfig.cmake
                              INSTALL_DESTINATION ${config_folder})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/RopewalkConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/RopewalkConfig.cmake ${CMAKE_BINARY_DIR}/RopewalkConfigVersion.cmake
        DESTINATION ${config_folder})
