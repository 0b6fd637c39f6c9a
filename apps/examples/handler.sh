#!/usr/bin/env bash
# A handler that stays up, in Bash, from net/PROTOCOL.md alone: replies with each message in capital letters.
#
#     ropewalk worker --set up.channel=stdio --service 'up=exec:bash apps/examples/handler.sh'
#
# Bash holds no zero byte: heads of frames are lists of numbers, and messages pass through programs.
export LC_ALL=C

answer() { # KIND BYTES ID...: a frame's head, for a payload of so many bytes
  local length=$((12 + $2)) octets
  octets=($((length >> 24)) $((length >> 16 & 255)) $((length >> 8 & 255)) $((length & 255)) "$1" 0 0 0 "${@:3}")
  printf "$(printf '\\x%x' "${octets[@]}")"
}

while read -ra head < <(head -c 16 | od -An -v -w16 -tu1) && [ ${#head[@]} -eq 16 ]; do
  kind=${head[4]} fields=$((head[6] << 8 | head[7])) id=("${head[@]:8}")
  bytes=$(((head[0] << 24 | head[1] << 16 | head[2] << 8 | head[3]) - 12 - fields))
  head -c "$fields" >/dev/null
  if [ "$kind" -eq 1 ]; then # HELLO: HELLO_OK
    answer 2 0 "${id[@]}"
  elif [ "$kind" -eq 3 ]; then # REQUEST: REPLY
    answer 4 "$bytes" "${id[@]}"
    head -c "$bytes" | tr a-z A-Z
  fi
done
