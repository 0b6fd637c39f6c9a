# Makes the page at / of actors/admin/page: one HTML text with its styles and scripts in it, compressed, as C++.
#
#   cmake -D FROM=actors/admin/page -D TO=page.cpp -D GZIP=gzip [-D CHART=chart.min.js] -P .cmake/page.cmake
#
# Without CHART the page shows the last hour as a table and not as charts.
cmake_minimum_required(VERSION 3.25)

# The SHA-256 of a text as Content-Security-Policy wants it, in base 64.
function(hash_of text result)
  string(SHA256 hex "${text}")
  set(alphabet ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/)
  set(base64 "")
  string(APPEND hex 00) # 33 bytes are 44 digits, of which the last stands for nothing
  foreach(at RANGE 0 60 6)
    string(SUBSTRING ${hex} ${at} 6 three)
    math(EXPR bits "0x${three}")
    foreach(shift 18 12 6 0)
      math(EXPR digit "(${bits} >> ${shift}) & 63")
      string(SUBSTRING ${alphabet} ${digit} 1 digit)
      string(APPEND base64 ${digit})
    endforeach()
  endforeach()
  string(SUBSTRING ${base64} 0 43 base64)
  set(${result} "'sha256-${base64}='" PARENT_SCOPE)
endfunction()

# Byte by byte, whatever is in them: a list would lose semicolons and brackets.
function(put into mark text)
  string(FIND "${${into}}" "${mark}" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "page.html has no place for ${mark}")
  endif()
  string(LENGTH "${mark}" size)
  string(SUBSTRING "${${into}}" 0 ${at} before)
  math(EXPR at "${at} + ${size}")
  string(SUBSTRING "${${into}}" ${at} -1 after)
  set(${into} "${before}${text}${after}" PARENT_SCOPE)
endfunction()

file(READ ${FROM}/page.html html)
file(READ ${FROM}/page.css style)
set(script "")
foreach(name format tables charts events messages page)
  file(READ ${FROM}/${name}.js one)
  string(APPEND script "${one}")
endforeach()
set(chart "")
if(CHART)
  file(READ ${CHART} chart)
endif()
hash_of("${style}" style_hash)
hash_of("${chart}" chart_hash)
hash_of("${script}" script_hash)
put(html "@STYLE@" "${style}")
put(html "@SCRIPT@" "${script}")
put(html "@CHART@" "${chart}")

file(WRITE ${TO}.html "${html}")
execute_process(COMMAND ${GZIP} -9 -n -c ${TO}.html OUTPUT_FILE ${TO}.gz COMMAND_ERROR_IS_FATAL ANY)
file(READ ${TO}.gz bytes HEX)
string(REGEX REPLACE "(................................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE ${TO} "// Made by .cmake/page.cmake.
#include \"actors/admin/page.hpp\"

namespace ropewalk {

namespace {

constexpr unsigned char gzip[] = {
${bytes}};

} // namespace

admin_page the_admin_page() {
  return {{reinterpret_cast<const char*>(gzip), sizeof gzip},
          \"Content-Encoding: gzip\\r\\n\"
          \"Content-Security-Policy: default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; \"
          \"form-action 'none'; frame-ancestors 'none'; style-src ${style_hash}; \"
          \"script-src ${chart_hash} ${script_hash}\\r\\n\"
          \"Referrer-Policy: no-referrer\\r\\n\"};
}

} // namespace ropewalk
")
