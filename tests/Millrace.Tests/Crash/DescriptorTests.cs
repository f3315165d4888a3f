using System.Diagnostics;
using System.Globalization;
using Millrace.CrashWriter;
using Millrace.Embedded;
using Millrace.Tests.Journal;

namespace Millrace.Tests.Crash;

public sealed class DescriptorTests(ITestOutputHelper output)
{
    /// <summary>A real process with a real limit: the journal needs a descriptor for its next segment and there is none.</summary>
    [Theory]
    [InlineData(SyncPolicy.Always)]
    [InlineData(SyncPolicy.EverySecond)]
    public async Task Process_without_descriptors_goes_on_writing_and_begins_the_next_segment_when_there_is_one(SyncPolicy sync)
    {
        using var directory = new JournalDirectory();
        var start = new ProcessStartInfo("sh")
        {
            ArgumentList =
            {
                "-c", "ulimit -n 256; exec \"$@\"", "sh", Path.Combine(AppContext.BaseDirectory, "Millrace.CrashWriter"),
                directory.Path, sync.ToString(), DescriptorLoad.Argument,
            },
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var deadline = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync(deadline.Token);
        var said = await process.StandardOutput.ReadToEndAsync(deadline.Token);
        await process.WaitForExitAsync(deadline.Token);

        Assert.True(process.ExitCode == 0, await errors);
        output.WriteLine($"descriptors taken, segments without and with them: {said}");
        var numbers = said.Split(' ').Select(number => int.Parse(number, CultureInfo.InvariantCulture)).ToArray();
        Assert.True(numbers[0] > 10);
        Assert.Equal((1, 2), (numbers[1], numbers[2]));
        await using var store = new EmbeddedStreamStore(new EmbeddedStoreOptions { Directory = directory.Path });
        Assert.Equal(DescriptorLoad.Entries + 2, (await store.GetStreamInfoAsync(DescriptorLoad.Stream))?.Length);
    }
}
