using System.Text.RegularExpressions;

namespace Millrace.Tests.Tidy;

/// <summary>Style as tests: what no analyzer says.</summary>
public sealed partial class StyleTests
{
    private const int MaxFileLines = 500;
    private const int MaxLineLength = 160;

    private static IEnumerable<string> SourceFiles => Repository.Files.Where(file => file.EndsWith(".cs", StringComparison.Ordinal));

    [Fact]
    public void Files_are_short_enough_to_be_one_thing()
    {
        var tooLong = SourceFiles.Select(file => (file, lines: Repository.Read(file).Count(c => c == '\n')))
            .Where(entry => entry.lines > MaxFileLines);
        Assert.Empty(tooLong);
    }

    [Fact]
    public void Lines_are_short_enough_to_read()
    {
        // Generated code that a test quotes is as wide as it is generated.
        var wide = SourceFiles.SelectMany(file => Repository.Read(file).Split('\n').Select((text, i) => (file, line: i + 1, text)))
            .Where(entry => entry.text.Length > MaxLineLength && !entry.text.Contains("global::", StringComparison.Ordinal))
            .Select(entry => $"{entry.file}:{entry.line}");
        Assert.Empty(wide);
    }

    [Fact]
    public void Shipped_code_has_no_leftovers()
    {
        var leftovers = SourceFiles.Where(file => file.StartsWith("src/", StringComparison.Ordinal) || file.StartsWith("samples/", StringComparison.Ordinal))
            .SelectMany(file => Leftover().Matches(Repository.Read(file)).Select(match => $"{file}: {match.Value}"));
        Assert.Empty(leftovers);
    }

    [Fact]
    public void Tests_never_sleep()
    {
        var sleeps = SourceFiles.Where(file => file.StartsWith("tests/", StringComparison.Ordinal))
            .Where(file => Repository.Read(file).Contains("Thread" + ".Sleep", StringComparison.Ordinal));
        Assert.Empty(sleeps);
    }

    [Fact]
    public void Decisions_are_numbered_in_order_and_short()
    {
        var decisions = Repository.Files.Where(file => file.StartsWith("docs/decisions/", StringComparison.Ordinal)).Order(StringComparer.Ordinal).ToList();
        Assert.Equal(Enumerable.Range(1, decisions.Count), decisions.Select(file => int.Parse(Path.GetFileName(file)[..4], null)));
        Assert.All(decisions, file => Assert.InRange(Repository.Read(file).Count(c => c == '\n'), 1, 60));
    }

    [GeneratedRegex(@"NotImplementedException|\bTODO\b|\bHACK\b|\bFIXME\b|catch\s*(\([^)]*\))?\s*\{\s*\}|#region")]
    private static partial Regex Leftover();
}
