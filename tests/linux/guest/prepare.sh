#!/bin/bash
# prepare.sh FILES MODULES: makes what the programs work on, in the current directory, of numbers only: a git repository
# of FILES files, its work tree as `tree` with symlinks and hard links, and a C project of MODULES sources.
set -euo pipefail
files=$1
modules=$2

# One stream of six commits: all files; then a tenth of them changed, some removed, some added, twice with a tag.
awk -v files="$files" '
  function words(seed, count,   text, i) {
    text = ""
    for (i = 0; i < count; ++i) {
      seed = (seed * 1103 + 12345) % 1000003
      text = text "word" seed % 997 (i % 9 == 8 ? "\n" : " ")
    }
    return text "\n"
  }
  function name(i) { return "part" i % 23 "/section" int(i / 23) % 11 "/file" i ".txt" }
  function blob(i, version,   text) {
    text = words(i * 31 + version * 7919, 20 + i * i % 400)
    printf "M 100%s inline %s\ndata %d\n%s\n", i % 50 ? "644" : "755", name(i), length(text), text
  }
  function commit(number) {
    printf "commit refs/heads/main\nmark :%d\ncommitter Test <test@example.org> %d +0000\ndata 8\ncommit %d\n", number, 1600000000 + number * 1000, number
    if (number > 1) printf "from :%d\n", number - 1
  }
  BEGIN {
    commit(1)
    for (i = 0; i < files; ++i) blob(i, 1)
    for (number = 2; number <= 6; ++number) {
      commit(number)
      for (i = number; i < files; i += 10) blob(i, number)
      for (i = number * 3; i < files; i += 97) printf "D %s\n", name(i)
      for (i = 0; i < files / 50; ++i) blob(files * number + i, number)
      if (number % 2 == 0) printf "reset refs/tags/v%d\nfrom :%d\n\n", number, number
    }
  }' >stream
git init -q --bare -b main repository
git -C repository fast-import --quiet <stream
rm stream
git clone -q repository tree
rm -rf tree/.git
(
  cd tree
  ln -s part1/section0 shortcut
  ln -s nowhere/at/all dangling
  ln part0/section0/file0.txt another-name
  mkdir -p "names/with spaces and ümlauts" names/empty
  printf 'x' >"names/with spaces and ümlauts/$(printf 'n%.0s' {1..200})"
  truncate -s $((files * 4))K names/sparse
  chmod 1777 names/empty
  chmod 0400 names/sparse
)

# Modules that call each other, a library and a program that prints a sum.
mkdir project
(
  cd project
  for module in $(seq 0 $((modules - 1))); do
    awk -v m="$module" 'BEGIN {
      printf "#include <stdio.h>\n#include <string.h>\n#include \"all.h\"\n"
      for (f = 0; f < 30; ++f) {
        printf "static unsigned part%d(unsigned x) { char text[64]; snprintf(text, sizeof(text), \"%%u-%%d\", x, %d); ", f, f * m
        printf "return x * %du + (unsigned)strlen(text); }\n", 2 * f + 3
      }
      printf "unsigned module%d(unsigned x) {\n", m
      for (f = 0; f < 30; ++f) printf "  x ^= part%d(x + %du);\n", f, f
      if (m > 0) printf "  x += module%d(x >> 1);\n", m - 1
      printf "  return x;\n}\n"
    }' >"module$module.c"
    echo "unsigned module$module(unsigned);"
  done >all.h
  printf '#include <stdio.h>\n#include "all.h"\nint main(void) { printf("%%u\\n", module%d(1)); return 0; }\n' $((modules - 1)) >main.c
  cat >Makefile <<'MAKE'
OBJECTS := $(patsubst %.c,%.o,$(sort $(wildcard module*.c)))
program: main.o libmodules.a
	$(CC) -o $@ $^
libmodules.a: $(OBJECTS)
	$(AR) rcD $@ $^
%.o: %.c all.h
	$(CC) -O1 -c -o $@ $<
clean:
	rm -f *.o libmodules.a program
MAKE
)
