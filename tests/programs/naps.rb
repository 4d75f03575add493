# SPDX-License-Identifier: Apache-2.0
# Blocks in three ways: a sleep, a read from a pipe whose other end is another program's, a wait for more of it.
def nap_asleep
  sleep(0.005)
end

def nap_on_pipe(echo)
  echo.syswrite('x')
  echo.sysread(1)
end

def nap_in_select(echo)
  IO.select([echo], nil, nil, 0.003)
end

echo = IO.popen('cat', 'r+')
loop { nap_asleep; nap_on_pipe(echo); nap_in_select(echo) }
