// SPDX-License-Identifier: Apache-2.0
// Burns CPU in goroutines: 70, 20 and 10 per cent of the steps in the functions of these names. Sleeps in nap.
package main

import "time"

type counter struct {
	state uint64
}

//go:noinline
func (c *counter) spin(steps int) {
	for step := 0; step < steps; step++ {
		c.state = c.state*6364136223846793005 + 1442695040888963407
	}
}

//go:noinline
func (c *counter) seventy() { c.spin(700000); c.state++ }

//go:noinline
func (c *counter) twenty() { c.spin(200000); c.state++ }

//go:noinline
func (c *counter) ten() { c.spin(100000); c.state++ }

//go:noinline
func nap() { time.Sleep(10 * time.Millisecond) }

func burn() {
	c := &counter{}
	for {
		c.seventy()
		c.twenty()
		c.ten()
	}
}

func main() {
	go burn()
	for {
		nap()
	}
}
