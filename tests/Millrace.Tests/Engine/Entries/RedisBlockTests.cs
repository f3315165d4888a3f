using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Redis.Connections;
using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Engine.Entries;

/// <summary>
/// Which entries share a block is seen from outside: by what an approximate trim leaves, and in XINFO STREAM. A real Redis whose nodes are
/// bounded by entries alone, as our blocks are, must tell the same after every command.
/// </summary>
public sealed class RedisBlockTests
{
    private const int Steps = 200;

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 2)]
    [InlineData(3, 3)]
    [InlineData(4, 5)]
    [InlineData(5, 10)]
    [InlineData(6, 100)]
    [InlineData(7, 0)]
    public async Task Random_changes_leave_the_blocks_that_Redis_leaves(int seed, int maxBlockEntries)
    {
        await using var server = await RedisServer.StartAsync(
            "--stream-node-max-bytes", "0", "--stream-node-max-entries", Text(maxBlockEntries));
        await using var client = new RedisClient(new() { Host = "127.0.0.1", Port = server.Port }, TimeProvider.System, NullLogger.Instance);
        for (var stream = 0; stream < 12; stream++)
            await CompareAsync(client, $"s{stream}", new((seed * 1_000) + stream), maxBlockEntries);
    }

    private static async Task CompareAsync(RedisClient client, string key, Random random, int maxBlockEntries)
    {
        var log = new EntryLog();
        var last = EntryId.Zero;

        // Large enough that blocks are squeezed, small enough that 64 KiB close none.
        var value = new string('x', random.Next(2) == 0 ? 1 : 300);
        var script = new List<string>();
        for (var step = 0; step < Steps; step++)
        {
            var (command, expected) = random.Next(10) switch
            {
                < 6 => Append(last = NextId(random, last)),
                < 8 when log.Count > 0 => Delete(),
                _ when last != EntryId.Zero => Trim(),
                _ => Append(last = NextId(random, last)),
            };
            log.Verify();
            script.Add(command);
            var reply = await ExecuteAsync(client, command);
            var info = await ExecuteAsync(client, $"XINFO STREAM {key}");
            Assert.True(
                expected == reply.Text && Blocks(log) == Blocks(info),
                $"Redis {reply.Text}: {Blocks(info)}\nours  {expected}: {Blocks(log)}\n{string.Join('\n', script)}");
        }

        (string Command, string Expected) Append(EntryId id)
        {
            log.Append(id, EngineRun.Fields(value), maxBlockEntries);
            return ($"XADD {key} {id} v {value}", id.ToString());
        }

        (string Command, string Expected) Delete()
        {
            var entries = log.Read(EntryId.Zero, EntryId.Max, int.MaxValue);
            var id = entries[random.Next(3) == 0 ? 0 : random.Next(entries.Length)].Id;
            return ($"XDEL {key} {id}", log.Delete(id) ? "1" : "0");
        }

        (string Command, string Expected) Trim()
        {
            var trim = RandomTrim(random, log, out var options);
            return ($"XTRIM {key} {options}", Text(log.Trim(trim)));
        }
    }

    private static string Blocks(EntryLog log) =>
        $"length {log.Count}, blocks {log.BlockCount}, nodes {log.CountRadixNodes()}, first {log.FirstId}";

    private static string Blocks(RespReply info)
    {
        return $"length {Value("length"u8)}, blocks {Value("radix-tree-keys"u8)}, nodes {Value("radix-tree-nodes"u8)}, "
            + $"first {Value("recorded-first-entry-id"u8)}";

        string Value(ReadOnlySpan<byte> key) => info.TryGet(key, out var value) ? value.Text : "missing";
    }

    private static async Task<RespReply> ExecuteAsync(RedisClient client, string text)
    {
        var words = text.Split(' ');
        var command = new RespCommand(words[0]);
        foreach (var word in words.Skip(1))
            command.Add(word);
        return await client.ExecuteAsync(command, TestContext.Current.CancellationToken);
    }

    private static TrimRequest RandomTrim(Random random, EntryLog log, out string options)
    {
        var isApproximate = random.Next(3) > 0;
        var limit = isApproximate && random.Next(3) == 0 ? random.Next(1, 20) : 0;
        var trim = new TrimRequest { IsApproximate = isApproximate, Limit = limit };
        var kept = log.Read(EntryId.Zero, EntryId.Max, int.MaxValue);
        if (random.Next(2) == 0 || kept.Length == 0)
        {
            trim = trim with { MaxLength = random.NextInt64(log.Count + 3) };
            options = $"MAXLEN {(isApproximate ? '~' : '=')} {trim.MaxLength}";
        }
        else
        {
            var minId = kept[random.Next(kept.Length)].Id;
            trim = trim with { MinId = random.Next(2) == 0 ? minId : minId.Next() };
            options = $"MINID {(isApproximate ? '~' : '=')} {trim.MinId}";
        }

        if (isApproximate)
            options += $" LIMIT {limit}";
        return trim;
    }

    private static EntryId NextId(Random random, EntryId last) => random.Next(8) switch
    {
        < 4 => last.Next(),
        4 => new(last.Milliseconds, last.Sequence + (ulong)random.Next(1, 300)),
        5 => new(last.Milliseconds + (ulong)random.Next(1, 300), 0),
        6 => new(last.Milliseconds + (ulong)random.Next(1, 100_000), (ulong)random.NextInt64()),
        _ => new(last.Milliseconds + (1UL << random.Next(36)), (ulong)random.Next(1 << 20)),
    };

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);
}
