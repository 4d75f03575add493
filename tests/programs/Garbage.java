// SPDX-License-Identifier: Apache-2.0
// Keeps so many MiB alive and makes new objects all the time: java -Xmx24m Garbage 16
public class Garbage {
	static final int PIECE = 4 << 10;
	static byte[][] alive;

	public static void main(String[] arguments)
	{
		int pieces = Integer.parseInt(arguments[0]) * (1 << 20) / PIECE;
		long random = 1;

		alive = new byte[pieces][];
		for (int i = 0; i < pieces; i++)
			alive[i] = new byte[PIECE];
		System.out.println("ready");
		for (;;) {
			random = random * 6364136223846793005L + 1442695040888963407L;
			alive[(int)((random >>> 33) % pieces)] = new byte[PIECE];
		}
	}
}
