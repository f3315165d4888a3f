using System.Diagnostics;
using System.Globalization;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.EntityFrameworkCore;

/// <summary>Npgsql's switch <c>EnableLegacyTimestampBehavior</c>, which is one for all of a process: of another one.</summary>
public sealed class LegacyTimestampTests(SharedPostgres postgres)
{
    /// <summary>West and east of Greenwich.</summary>
    [Theory]
    [InlineData("WEST5")]
    [InlineData("EAST-9")]
    public async Task Ages_are_told_and_inboxes_cleaned_by_the_right_time_in_every_time_zone_of_the_database(string zone)
    {
        var database = await (await postgres.StartedAsync()).CreateDatabaseAsync();
        using var process = Process.Start(new ProcessStartInfo(
            "dotnet", ["exec", Path.Combine(AppContext.BaseDirectory, "Millrace.OutboxWorker.dll"), "legacy", $"{database};Timezone={zone}"])
        {
            RedirectStandardOutput = true,
        })!;
        try
        {
            var said = await process.StandardOutput.ReadLineAsync().WaitAsync(Eventually.Deadline);

            Assert.EndsWith(" new", said, StringComparison.Ordinal);
            Assert.InRange(int.Parse(said!.Split(' ')[0], CultureInfo.InvariantCulture), 3_600, 3_600 + Eventually.Deadline.TotalSeconds);
        }
        finally
        {
            process.Kill();
        }
    }
}
