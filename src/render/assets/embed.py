#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py [--header HEADER] FILE… : C source with each file as a string, `asset_NAME_SUFFIX`. A line that says
/* include OTHER */ stands for that file beside it."""
import os
import re
import sys


def included(path, name):
    with open(os.path.join(os.path.dirname(path), name), 'rb') as file:
        return file.read()


files = sys.argv[1:]
header = 'render/assets.h'
if files[0] == '--header':
    header, files = files[1], files[2:]
print(f'/* Made by embed.py. */\n#include "{header}"')
for path in files:
    name = 'asset_' + os.path.basename(path).replace('.', '_')
    with open(path, 'rb') as file:
        data = re.sub(rb'^/\* include (\S+) \*/\n', lambda found: included(path, found[1].decode()), file.read(), flags=re.MULTILINE)
    print(f'const char {name}[{len(data) + 1}] = {{')
    for i in range(0, len(data), 24):
        print(''.join(f'{byte},' for byte in data[i:i + 24]))
    print('0};')
