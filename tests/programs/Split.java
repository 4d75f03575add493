// SPDX-License-Identifier: Apache-2.0
// Three quarters of the time in one method, one quarter in another.
public class Split {
	static volatile long sink;

	static void three_quarters()
	{
		long x = 1;
		for (long i = 0; i < 300000; i++)
			x = x * 6364136223846793005L + i;
		sink = x;
	}

	static void one_quarter()
	{
		long x = 1;
		for (long i = 0; i < 100000; i++)
			x = x * 6364136223846793005L + i;
		sink = x;
	}

	public static void main(String[] arguments)
	{
		for (;;) {
			three_quarters();
			one_quarter();
		}
	}
}
