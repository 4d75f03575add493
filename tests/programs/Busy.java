// SPDX-License-Identifier: Apache-2.0
// What Java programs do: collections, streams, sorting, text, in two threads of a pool.
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

public class Busy {
	static volatile long sink;

	static void maps()
	{
		Map<String, Integer> map = new HashMap<>();

		for (int i = 0; i < 2000; i++)
			map.merge("key" + (i % 97), i, Integer::sum);
		sink = map.size();
	}

	static void streams()
	{
		sink = IntStream.range(0, 3000).mapToObj(i -> "x" + i).filter(text -> text.hashCode() % 3 == 0)
			       .collect(Collectors.toList()).size();
	}

	static void sort()
	{
		Integer[] numbers = new Integer[2000];
		Random random = new Random(1);

		for (int i = 0; i < numbers.length; i++)
			numbers[i] = random.nextInt();
		Arrays.sort(numbers, Comparator.reverseOrder());
		sink = numbers[0];
	}

	public static void main(String[] arguments)
	{
		ExecutorService pool = Executors.newFixedThreadPool(2);

		for (int i = 0; i < 2; i++)
			pool.submit(() -> {
				for (;;) {
					maps();
					streams();
					sort();
				}
			});
	}
}
