#!/bin/bash
# make -j2 of a C project; again, when nothing is to be done; again after one source and the header have changed.
. /virtfs/guest/functions.sh
cp -r "$INPUT/project" .
cd project
quietly make -j2 CC=gcc
./program
make -q CC=gcc && echo "nothing to do"
echo "/* more */" >>module5.c
make -n CC=gcc | sha256sum
quietly make -j2 CC=gcc
./program
cat libmodules.a ./*.o | sha256sum
quietly make clean
