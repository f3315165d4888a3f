using System.Diagnostics;

namespace Millrace.Tests.Tidy;

/// <summary>The mutants of <c>tests/mutations</c>: one that fits the source no more would break nothing, and be told only when all are run.</summary>
public sealed class MutationTests
{
    private const string FileLine = "# file: ";

    public static TheoryData<string> Mutants =>
        [.. Repository.Files.Where(file => file.StartsWith("tests/mutations/", StringComparison.Ordinal) && file.EndsWith(".sed", StringComparison.Ordinal))];

    [Theory]
    [MemberData(nameof(Mutants))]
    public async Task Mutant_changes_every_file_it_names(string mutant)
    {
        var parts = Repository.Read(mutant).Split(FileLine, StringSplitOptions.RemoveEmptyEntries);
        foreach (var part in parts)
        {
            var file = part[..part.IndexOf('\n')];
            Assert.True(await ChangeAsync(FileLine + part, file) != Repository.Read(file), $"{mutant} changes nothing in {file} any more.");
        }
    }

    /// <summary>As <c>run.sh</c> does it.</summary>
    private static async Task<string> ChangeAsync(string script, string file)
    {
        using var sed = Process.Start(new ProcessStartInfo("sed", ["-E", "-z", script, Path.Combine(Repository.Root, file)])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        var changed = sed.StandardOutput.ReadToEndAsync();
        var errors = await sed.StandardError.ReadToEndAsync();
        await sed.WaitForExitAsync();
        Assert.Equal("", errors);
        return await changed;
    }
}
