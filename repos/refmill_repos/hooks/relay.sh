#!/bin/sh
# Installed as pre-receive and post-receive. Hands what git tells a hook to the server over two inherited pipes and
# prints the server's lines. Each field ends in NUL, so that no value can pass for another one; no process is started.
LC_ALL=C
{
	printf 'h%s\0' "${0##*/}"
	printf 'q%s\0' "$GIT_QUARANTINE_PATH"
	index=0
	while [ "$index" -lt "${GIT_PUSH_OPTION_COUNT:-0}" ]; do
		eval "option=\$GIT_PUSH_OPTION_$index"
		printf 'o%s\0' "$option"
		index=$((index + 1))
	done
	while IFS= read -r update; do
		printf 'u%s\0' "$update"
	done
	printf '.\0'
} >"/dev/fd/$REFMILL_ASK"
while IFS= read -r line; do
	case $line in
	ok) exit 0 ;;
	no) exit 1 ;;
	m*) printf '%s\n' "${line#m}" >&2 ;;
	esac
done <"/dev/fd/$REFMILL_ANSWER"
exit 1
