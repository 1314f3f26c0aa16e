# What pjdfstest's scripts start for every case, as functions: read before one of them by the same shell. To start a
# process is what takes most of the time in user-mode Linux, and there are six or more for each of 8,800 cases.
# Whatever is called in another way than those scripts do is the real program.

tail() {
  [ "$*" = -1 ] || { command tail "$@"; return; }
  _last=
  while IFS= read -r _line || [ -n "$_line" ]; do _last=$_line; done
  printf '%s\n' "$_last"
}
# A pattern is words with | between them, which a case has, too.
grep() {
  case $#$1$2 in
    2-Eq^*[!A-Za-z0-9_\|^\$-]*) command grep "$@" ;;
    2-Eq^*\$)
      _pattern=${2#^}
      IFS= read -r _line || :
      eval "case \$_line in ${_pattern%\$}) return 0 ;; esac"
      return 1
      ;;
    *) command grep "$@" ;;
  esac
}
# Names of files: dd from urandom | openssl md5 | awk.
dd() {
  case $1 in if=/dev/urandom) ;; *) command dd "$@" ;; esac
}
openssl() { IFS= read -r _name </proc/sys/kernel/random/uuid; printf '(stdin)= %s\n' "$_name"; }
awk() {
  case $* in
    '{print $NF}') while read -r _line; do printf '%s\n' "${_line##* }"; done ;;
    *) command awk "$@" ;;
  esac
}
# The kind of file system: that of the local directory for both, so that the same cases are run.
df() {
  case $* in
    '-PT .') printf 'Filesystem Type\n/dev/ubda ext4\n' ;;
    *) command df "$@" ;;
  esac
}
