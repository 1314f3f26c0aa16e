# Completion of xl-virtfs for bash; /usr/share/bash-completion/completions/xl-virtfs. What there is to write is asked of
# the command itself, so that this never falls behind it.
_xl_virtfs() {
  local line=${COMP_LINE:0:COMP_POINT} words=() word keep i
  read -ra words <<<"$line"
  [[ $line != *[[:space:]] ]] || words+=("")
  word=${words[-1]}
  mapfile -t COMPREPLY < <("${words[0]}" complete -- "${words[@]:1}" 2>/dev/null)
  # bash takes what stands behind = and : for a word of its own.
  keep=$word
  [[ $COMP_WORDBREAKS != *=* ]] || keep=${keep##*=}
  [[ $COMP_WORDBREAKS != *:* ]] || keep=${keep##*:}
  for i in "${!COMPREPLY[@]}"; do COMPREPLY[i]=${COMPREPLY[i]:${#word}-${#keep}}; done
  # Behind a key comes its value.
  [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace 2>/dev/null
}
complete -o default -F _xl_virtfs xl-virtfs
