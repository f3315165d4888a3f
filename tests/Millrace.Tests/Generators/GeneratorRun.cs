using System.Collections.Immutable;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Millrace.Generators;

namespace Millrace.Tests.Generators;

/// <summary>Source code compiled against the real Millrace, with the generator.</summary>
internal sealed class GeneratorRun
{
    private static readonly CSharpParseOptions ParseOptions = new(LanguageVersion.Latest);

    // The assemblies this test runs with, Millrace among them.
    private static readonly ImmutableArray<MetadataReference> References =
    [
        .. ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator)
            .Select(path => MetadataReference.CreateFromFile(path)),
    ];

    private CSharpCompilation _input;
    private GeneratorDriver _driver;

    public GeneratorRun(string source, string assemblyName = "Application")
    {
        _input = CSharpCompilation.Create(
            assemblyName,
            [Parse(source)],
            References,
            new CSharpCompilationOptions(
                OutputKind.DynamicallyLinkedLibrary,
                nullableContextOptions: NullableContextOptions.Enable,
                generalDiagnosticOption: ReportDiagnostic.Error));
        _driver = CSharpGeneratorDriver.Create(
            [new RegistrationGenerator().AsSourceGenerator()],
            parseOptions: ParseOptions,
            driverOptions: new(IncrementalGeneratorOutputKind.None, trackIncrementalGeneratorSteps: true));
        Run();
    }

    /// <summary>The compilation with what was generated.</summary>
    public Compilation Output { get; private set; } = null!;

    public GeneratorRunResult Result { get; private set; }

    public string GeneratedConsumers =>
        Assert.Single(Result.GeneratedSources, source => source.HintName == "MillraceGeneratedConsumers.g.cs").SourceText.ToString();

    /// <summary>Adds another file, as an edit elsewhere in the project would, and runs again.</summary>
    public void Add(string source)
    {
        _input = _input.AddSyntaxTrees(Parse(source));
        Run();
    }

    /// <summary>The bytes of the assembly, which must compile without a warning.</summary>
    public byte[] Compile()
    {
        using var stream = new MemoryStream();
        var result = Output.Emit(stream);
        Assert.True(result.Success, string.Join('\n', result.Diagnostics.Append<object>(GeneratedConsumers)));
        return stream.ToArray();
    }

    private static SyntaxTree Parse(string source) => CSharpSyntaxTree.ParseText(source, ParseOptions, "Application.cs");

    private void Run()
    {
        _driver = _driver.RunGeneratorsAndUpdateCompilation(_input, out var output, out _);
        Output = output;
        Result = Assert.Single(_driver.GetRunResult().Results);
    }
}
