using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Text;

namespace Millrace.Generators;

/// <summary>Why something with one of our attributes cannot be registered. Holds no syntax, so that it can be compared and kept.</summary>
/// <param name="Descriptor">The diagnostic.</param>
/// <param name="Subject">What has the attribute.</param>
/// <param name="Reason">The reason, to follow "because".</param>
/// <param name="Path">The file of the subject's name.</param>
/// <param name="Span">Where the name is.</param>
/// <param name="Lines">The same in lines and columns.</param>
internal sealed record Problem(
    DiagnosticDescriptor Descriptor, string Subject, string Reason, string Path, TextSpan Span, LinePositionSpan Lines)
{
    public static DiagnosticDescriptor NoConsumer { get; } = new(
        "MILL001",
        "Not a stream consumer",
        "The method '{0}' cannot be a stream consumer because {1}",
        "Millrace",
        DiagnosticSeverity.Error,
        isEnabledByDefault: true);

    public static DiagnosticDescriptor NoMessage { get; } = new(
        "MILL002",
        "Not a message",
        "The type '{0}' cannot be a message because {1}",
        "Millrace",
        DiagnosticSeverity.Error,
        isEnabledByDefault: true);

    public static Problem With(ISymbol subject, string reason, DiagnosticDescriptor descriptor)
    {
        var location = subject.Locations[0];
        var lines = location.GetLineSpan();
        var name = subject.ToDisplayString(SymbolDisplayFormat.CSharpShortErrorMessageFormat);
        return new(descriptor, name, reason, lines.Path, location.SourceSpan, lines.Span);
    }

    public Diagnostic ToDiagnostic() => Diagnostic.Create(Descriptor, Location.Create(Path, Span, Lines), Subject, Reason);
}
