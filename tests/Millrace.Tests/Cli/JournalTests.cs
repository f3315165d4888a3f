using System.Text.Json;
using Millrace.Tests.Clients;
using Millrace.Tests.Differential;
using Millrace.Tests.Journal;
using Millrace.Tests.Server;

namespace Millrace.Tests.Cli;

/// <summary><c>millrace journal</c> as its users meet it.</summary>
public sealed class JournalTests : IDisposable
{
    private readonly JournalDirectory _directory = new();
    private readonly JournalDirectory _target = new();

    private string SegmentPath => Path.Combine(_directory.Path, "00000000000000000001.journal");

    public void Dispose()
    {
        _directory.Dispose();
        _target.Dispose();
    }

    [Theory]
    [InlineData("Required command was not provided.", "journal")]
    [InlineData("Required argument 'DIR' missing for command: 'inspect'.", "journal", "inspect")]
    [InlineData("Required argument 'DIR' missing for command: 'verify'.", "journal", "verify")]
    [InlineData("Option '--to' is required.", "journal", "salvage", "x")]
    [InlineData("--from and --count need --records.", "journal", "inspect", "x", "--from", "7")]
    [InlineData("--from and --count need --records.", "journal", "inspect", "x", "--count", "7")]
    [InlineData("--from takes a number from 1 up, not '0'.", "journal", "inspect", "x", "--records", "--from", "0")]
    [InlineData("--count takes a number from 1 up, not 'all'.", "journal", "inspect", "x", "--records", "--count", "all")]
    [InlineData("Unrecognized command or argument '--frobnicate'.", "journal", "verify", "x", "--frobnicate")]
    [InlineData("Unrecognized command or argument '--records'.", "journal", "verify", "x", "--records")]
    [InlineData("Unrecognized command or argument 'y'.", "journal", "verify", "x", "y")]
    public async Task Journal_with_bad_options_says_why_in_one_line(string line, params string[] arguments) =>
        Assert.Equal(line, (await RunAsync(2, arguments)).Trim());

    [Theory]
    [InlineData("inspect", "DIR", "--json", "--records", "--from <LSN>", "--count <N>")]
    [InlineData("verify", "DIR", "--json")]
    [InlineData("salvage", "DIR", "--to <DIR>", "--skip-damage")]
    public async Task Help_names_every_option(string command, params string[] options)
    {
        var help = await RunAsync(0, "journal", command, "--help");
        Assert.All(options, option => Assert.Contains(option, help, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("inspect")]
    [InlineData("verify")]
    [InlineData("salvage", "--to", "elsewhere")]
    public async Task Directory_that_is_not_there_is_named_in_one_line(string command, params string[] options)
    {
        var path = Path.Combine(_directory.Path, "missing");
        Assert.Equal($"'{path}' is not a directory.", (await RunAsync(1, ["journal", command, path, .. options])).Trim());
    }

    [Fact]
    public async Task Server_at_work_is_inspected_and_verified_and_keeps_its_lock()
    {
        await using var server = await MillraceServer.StartAsync("--data", _directory.Path);
        using var client = new RawConnection(server.Endpoint);
        Assert.Equal("$3\r\n1-0\r\n", client.Exchange("XADD orders 1-0 f v"));
        Assert.Equal("+OK\r\n", client.Exchange("XGROUP CREATE orders billing 0"));

        var inspected = await RunAsync(0, "journal", "inspect", _directory.Path, "--records");
        Assert.Contains("records 1 to 2 in 2 frames", inspected, StringComparison.Ordinal);
        Assert.Contains("Append 1, CreateGroup 1", inspected, StringComparison.Ordinal);
        Assert.Matches(@"(?m)^1 \S+Z db0 Append orders 1-0 1 fields of 4 bytes$", inspected);
        Assert.Matches(@"(?m)^2 \S+Z db0 CreateGroup orders group billing after 0-0$", inspected);
        Assert.Contains("is whole: 2 records in 1 segment", await RunAsync(0, "journal", "verify", _directory.Path), StringComparison.Ordinal);
        Assert.Contains("is in use by process ", await RunAsync(1, "journal", "salvage", _directory.Path, "--to", _target.Path), StringComparison.Ordinal);

        Assert.Equal("$3\r\n2-0\r\n", client.Exchange("XADD orders 2-0 f v"));
        Assert.Equal(0, await server.StopAsync());
        var closed = await RunAsync(0, "journal", "inspect", _directory.Path);
        Assert.Contains("record 3, synced to 3 and closed", closed, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Records_are_picked_by_number_and_printed_as_json()
    {
        await WriteAsync(5);
        using var json = JsonDocument.Parse(await RunAsync(0, "journal", "inspect", _directory.Path, "--json", "--records", "--from", "2", "--count", "3"));
        Assert.Equal(5, json.RootElement.GetProperty("report").GetProperty("lastLsn").GetInt64());
        Assert.Equal(
            [2, 3, 4], json.RootElement.GetProperty("records").EnumerateArray().Select(static record => record.GetProperty("lsn").GetInt32()));
    }

    [Fact]
    public async Task Torn_tail_is_told_and_is_no_damage()
    {
        await WriteAsync(3);
        await File.AppendAllTextAsync(SegmentPath, "torn", TestContext.Current.CancellationToken);
        var length = new FileInfo(SegmentPath).Length;

        var verified = await RunAsync(0, "journal", "verify", _directory.Path);

        Assert.Contains($"at offset {length - 4}: 4 bytes, from record 4 on", verified, StringComparison.Ordinal);
        Assert.Equal(length, new FileInfo(SegmentPath).Length);
    }

    [Fact]
    public async Task Damage_is_found_and_what_is_around_it_is_saved()
    {
        await WriteAsync(9);
        var frames = JsonDocument.Parse(await RunAsync(0, "journal", "inspect", _directory.Path, "--json"));
        Assert.Equal(9, frames.RootElement.GetProperty("report").GetProperty("lastLsn").GetInt64());
        var bytes = await File.ReadAllBytesAsync(SegmentPath, TestContext.Current.CancellationToken);
        bytes[bytes.AsSpan().IndexOf("value-5"u8)] ^= 1;
        await File.WriteAllBytesAsync(SegmentPath, bytes, TestContext.Current.CancellationToken);

        var verified = await RunAsync(1, "journal", "verify", _directory.Path);
        Assert.Matches(@"Damage     00000000000000000001\.journal at offset \d+, record 5: ", verified);
        Assert.Contains("millrace journal salvage", verified, StringComparison.Ordinal);
        using (var json = JsonDocument.Parse(await RunAsync(1, "journal", "verify", _directory.Path, "--json")))
            Assert.Equal(5, json.RootElement.GetProperty("report").GetProperty("damages")[0].GetProperty("firstLsn").GetInt32());

        var whole = await RunAsync(0, "journal", "salvage", _directory.Path, "--to", Path.Combine(_target.Path, "front"));
        Assert.Contains("Left out record 5: ", whole, StringComparison.Ordinal);
        Assert.Contains("Left out records 6 to 9: ", whole, StringComparison.Ordinal);
        await ServeAsync(Path.Combine(_target.Path, "front"), ":4\r\n");

        var skipped = await RunAsync(0, "journal", "salvage", _directory.Path, "--to", Path.Combine(_target.Path, "all"), "--skip-damage");
        Assert.Contains("Left out record 5: ", skipped, StringComparison.Ordinal);
        Assert.DoesNotContain("Left out records", skipped, StringComparison.Ordinal);
        await ServeAsync(Path.Combine(_target.Path, "all"), ":8\r\n");

        var again = await RunAsync(1, "journal", "salvage", _directory.Path, "--to", Path.Combine(_target.Path, "all"));
        Assert.Contains("is not empty", again, StringComparison.Ordinal);
        Assert.Equal(bytes, await File.ReadAllBytesAsync(SegmentPath, TestContext.Current.CancellationToken));
    }

    private static async Task ServeAsync(string directory, string length)
    {
        await using var server = await MillraceServer.StartAsync("--data", directory);
        using var client = new RawConnection(server.Endpoint);
        Assert.Equal(length, client.Exchange("XLEN orders"));
        Assert.Equal("$5\r\n100-0\r\n", client.Exchange("XADD orders 100-0 f v"));
        Assert.Equal(0, await server.StopAsync());
    }

    /// <summary>One record in each frame, as each waits for its reply.</summary>
    private async Task WriteAsync(int count)
    {
        await using var server = await MillraceServer.StartAsync("--data", _directory.Path);
        using var client = new RawConnection(server.Endpoint);
        for (var i = 1; i <= count; i++)
            Assert.Equal($"$3\r\n{i}-0\r\n", client.Exchange($"XADD orders {i}-0 f value-{i}"));
        Assert.Equal(0, await server.StopAsync());
    }

    private static Task<string> RunAsync(int exitCode, params string[] arguments) =>
        Tool.RunAsync(exitCode, "", "dotnet", ["exec", MillraceServer.FindTool(), .. arguments]);
}
