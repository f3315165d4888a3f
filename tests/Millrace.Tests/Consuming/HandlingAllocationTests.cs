using System.Globalization;
using System.Text.RegularExpressions;
using Millrace.Tests.Clients;

namespace Millrace.Tests.Consuming;

public sealed partial class HandlingAllocationTests
{
    /// <summary>In a process of its own, because all threads count.</summary>
    [Fact]
    public async Task Handling_a_message_allocates_at_most_400_bytes_beyond_its_payload_and_object()
    {
        var output = await Tool.RunAsync("", "dotnet", "exec", FindProbe(), "20000");

        var bytes = Assert.Single(Bytes().Matches(output)).Groups[1].Value;
        Assert.InRange(double.Parse(bytes, CultureInfo.InvariantCulture), 0, 400);
    }

    [GeneratedRegex("^([0-9.]+) bytes a message beyond", RegexOptions.Multiline)]
    private static partial Regex Bytes();

    /// <summary>The test project builds the probe first, beside itself: artifacts/bin/[project]/[configuration].</summary>
    private static string FindProbe()
    {
        var ours = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar));
        return Path.Combine(ours.Parent!.Parent!.FullName, "Millrace.AllocationProbe", ours.Name, "Millrace.AllocationProbe.dll");
    }
}
