// SPDX-License-Identifier: Apache-2.0

// Blocks in goroutines (which the runtime's threads then do, on stacks of their own: futex, epoll) and in threads: reads of a
// pipe that the runtime knows nothing of, and system calls that sleep.
package main

import (
	"syscall"
	"time"
)

//go:noinline
func napInCall() {
	for {
		pause := syscall.NsecToTimespec(5e6)
		syscall.Nanosleep(&pause, nil)
	}
}

//go:noinline
func napOnPipe(outOf int) {
	one := make([]byte, 1)
	for {
		syscall.Read(outOf, one)
	}
}

//go:noinline
func napOnChannel(bell chan int) {
	for range bell {
	}
}

func main() {
	var pipe [2]int

	syscall.Pipe(pipe[:])
	bell := make(chan int)
	go napInCall()
	go napOnPipe(pipe[0])
	go napOnChannel(bell)
	for {
		time.Sleep(5 * time.Millisecond)
		bell <- 1
		syscall.Write(pipe[1], []byte("x"))
	}
}
