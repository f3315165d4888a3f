using System.Text.RegularExpressions;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Millrace.Generators;

namespace Millrace.Tests.Tidy;

/// <summary>The documents say what is there: links lead somewhere, files named exist, code compiles.</summary>
public sealed partial class DocumentationTests
{
    private static IEnumerable<string> Documents => Repository.Files.Where(file => file.EndsWith(".md", StringComparison.Ordinal));

    [Fact]
    public void Links_lead_to_files()
    {
        var dead = from document in Documents
                   from Match link in Link().Matches(Repository.Read(document))
                   let target = Path.Combine(Repository.Root, Path.GetDirectoryName(document)!, link.Groups[1].Value)
                   where !File.Exists(target) && !Directory.Exists(target)
                   select $"{document}: {link.Groups[1].Value}";
        Assert.Empty(dead);
    }

    [Fact]
    public void Source_files_named_in_the_documents_exist()
    {
        var files = Repository.Files.ToHashSet(StringComparer.Ordinal);
        var missing = from document in Documents
                      where document != "CHANGELOG.md"
                      from Match name in FileName().Matches(Repository.Read(document))
                      let path = name.Groups[1].Value
                      where !files.Any(file => file == path || file.EndsWith("/" + path, StringComparison.Ordinal))
                      select $"{document}: {path}";
        Assert.Empty(missing);
    }

    /// <summary>A promise that names the tests behind it must not outlive them.</summary>
    [Fact]
    public void Test_classes_named_in_the_documents_exist()
    {
        var classes = Repository.Files.Where(static file => file.EndsWith("Tests.cs", StringComparison.Ordinal))
            .Select(static file => Path.GetFileNameWithoutExtension(file)).ToHashSet(StringComparer.Ordinal);
        var missing = from document in Documents
                      where document != "CHANGELOG.md"
                      from Match name in TestClass().Matches(Repository.Read(document))
                      where !classes.Contains(name.Groups[1].Value)
                      select $"{document}: {name.Groups[1].Value}";
        Assert.Empty(missing);
    }

    /// <summary>Each incident has its test, and each test of an incident is in the list. Its last part names tests of other folders.</summary>
    [Fact]
    public void Incidents_and_their_tests_are_the_same_list()
    {
        var tests = Repository.Files.Where(static file => file.StartsWith("tests/Millrace.Tests/Incidents/", StringComparison.Ordinal))
            .SelectMany(static file => TestMethod().Matches(Repository.Read(file))).Select(static match => match.Groups[1].Value);
        var list = Repository.Read("docs/incidents.md").Split("## Elsewhere")[0];
        var listed = TestName().Matches(list).Select(static match => match.Groups[1].Value);
        Assert.Equal(tests.Order(StringComparer.Ordinal), listed.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Tests_named_in_the_documents_exist()
    {
        var tests = string.Concat(Repository.Files.Where(static file => file.StartsWith("tests/Millrace.Tests/", StringComparison.Ordinal))
            .Where(static file => file.EndsWith(".cs", StringComparison.Ordinal)).Select(Repository.Read));
        var missing = from document in Documents
                      where document != "CHANGELOG.md"
                      from Match name in NamedTest().Matches(Repository.Read(document))
                      where !tests.Contains($" {name.Groups[1].Value}(", StringComparison.Ordinal)
                      select $"{document}: {name.Groups[1].Value}";
        Assert.Empty(missing);
    }

    public static TheoryData<string> Programs =>
        ["README.md", .. Repository.Files.Where(static file => file.StartsWith("docs/guides/", StringComparison.Ordinal))];

    /// <summary>
    /// The code of the README, and of each guide, is one program, compiled as a user's project would be: implicit usings, and our generator.
    /// </summary>
    [Theory]
    [MemberData(nameof(Programs))]
    public void Program_of_a_document_compiles(string document)
    {
        var code = CodeBlock().Matches(Repository.Read(document)).Select(static block => block.Groups[1].Value).ToList();
        Assert.NotEmpty(code);
        const string usings = """
            global using System;
            global using System.Linq;
            global using System.Threading;
            global using System.Threading.Tasks;
            """;
        var references = ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator)
            .Select(path => MetadataReference.CreateFromFile(path));
        var compilation = CSharpCompilation.Create(
            "Program",
            [CSharpSyntaxTree.ParseText(usings), .. code.Select(static block => CSharpSyntaxTree.ParseText(block))],
            references,
            new CSharpCompilationOptions(OutputKind.ConsoleApplication, nullableContextOptions: NullableContextOptions.Enable));

        CSharpGeneratorDriver.Create(new RegistrationGenerator())
            .RunGeneratorsAndUpdateCompilation(compilation, out var complete, out _, TestContext.Current.CancellationToken);
        Assert.Empty(complete.GetDiagnostics(TestContext.Current.CancellationToken).Where(diagnostic => diagnostic.Severity == DiagnosticSeverity.Error));
    }

    [GeneratedRegex(@"\]\((?!https?:|#)([^)#]+)[^)]*\)")]
    private static partial Regex Link();

    /// <summary>A file of ours in backticks: with a folder, and an extension of source code.</summary>
    [GeneratedRegex(@"`([A-Za-z0-9_\-][A-Za-z0-9_.\-]*(?:/[A-Za-z0-9_.\-]+)+\.(?:cs|lua|sh|mjs|props|slnx|txt|md))`")]
    private static partial Regex FileName();

    [GeneratedRegex(@"`([A-Z]\w*Tests)`")]
    private static partial Regex TestClass();

    [GeneratedRegex(@"public async Task (\w+)\(")]
    private static partial Regex TestMethod();

    /// <summary>The last cell of a row.</summary>
    [GeneratedRegex(@"\| `(\w+)` \|\n")]
    private static partial Regex TestName();

    /// <summary>A test in backticks: a sentence with underscores between its words.</summary>
    [GeneratedRegex(@"`([A-Z][a-z0-9]*(?:_[a-z0-9]+){3,})`")]
    private static partial Regex NamedTest();

    [GeneratedRegex(@"```csharp\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex CodeBlock();
}
