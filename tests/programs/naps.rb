# SPDX-License-Identifier: Apache-2.0
# Blocks in three ways: a sleep, a read from a pipe whose other end is another program's, a wait for more of it; and in threads of
# which each keeps a megabyte of the interpreter's stack in the middle of its own: sleeping again and again, and for ever.
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

2.times { Thread.new { loop { nap_asleep } } }
Thread.new { sleep }
echo = IO.popen('cat', 'r+')
loop { nap_asleep; nap_on_pipe(echo); nap_in_select(echo) }
