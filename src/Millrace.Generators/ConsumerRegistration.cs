using System.Globalization;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;

namespace Millrace.Generators;

/// <summary>A method with [StreamConsumer], as the parts of the call that registers it.</summary>
/// <param name="Handler">The class of the method, as generated code names it.</param>
/// <param name="Message">The type of the message, likewise.</param>
/// <param name="IsBatch">Whether the method takes a list of messages.</param>
/// <param name="IsStatic">Whether the method needs no object of the class.</param>
/// <param name="Call">The body of the lambda that calls the method.</param>
/// <param name="Stream">The stream, as a literal.</param>
/// <param name="Group">The group, as a literal.</param>
/// <param name="Options">Statements that set the options of the attribute; may be empty.</param>
internal sealed record ConsumerRegistration(
    string Handler, string Message, bool IsBatch, bool IsStatic, string Call, string Stream, string Group, string Options)
{
    private static readonly SymbolDisplayFormat NameOnly =
        new(miscellaneousOptions: SymbolDisplayMiscellaneousOptions.EscapeKeywordIdentifiers);

    public static Read<ConsumerRegistration> Read(GeneratorAttributeSyntaxContext context, CancellationToken cancellationToken)
    {
        var method = (IMethodSymbol)context.TargetSymbol;
        var attribute = context.Attributes[0];
        var stream = attribute.ConstructorArguments.FirstOrDefault().Value as string;
        var group = attribute.NamedArguments.FirstOrDefault(static argument => argument.Key == "Group").Value.Value as string;
        var orderedBy = attribute.NamedArguments.FirstOrDefault(static argument => argument.Key == "OrderedBy").Value.Value as string;
        if ((ConsumerShape.FindProblem(method, stream, group) ?? ConsumerShape.FindOrderProblem(method, orderedBy)) is { } reason)
            return new(null, Problem.With(method, reason, Problem.NoConsumer));

        return new(
            new(
                method.ContainingType.ToDisplayString(SymbolDisplayFormat.FullyQualifiedFormat),
                (ConsumerShape.FindBatchMessage(method) ?? method.Parameters[0].Type).ToDisplayString(SymbolDisplayFormat.FullyQualifiedFormat),
                ConsumerShape.FindBatchMessage(method) is not null,
                method.IsStatic,
                WriteCall(method),
                SymbolDisplay.FormatLiteral(stream!, quote: true),
                SymbolDisplay.FormatLiteral(group!, quote: true),
                WriteOptions(attribute)),
            null);
    }

    private static string WriteCall(IMethodSymbol method)
    {
        var arguments = method.Parameters.Select((parameter, i) =>
            i == 0 ? "message" : ConsumerShape.IsContext(parameter.Type) ? "context" : "cancellationToken");
        var target = method.IsStatic ? method.ContainingType.ToDisplayString(SymbolDisplayFormat.FullyQualifiedFormat) : "handler";
        var call = $"{target}.{method.ToDisplayString(NameOnly)}({string.Join(", ", arguments)})";
        return method.ReturnsVoid ? $"{{ {call}; return global::System.Threading.Tasks.Task.CompletedTask; }}"
            : method.ReturnType.Name == "ValueTask" ? $"{call}.AsTask()"
            : call;
    }

    private static string WriteValue(TypedConstant value) => value switch
    {
        { IsNull: true } => "null",
        { Kind: TypedConstantKind.Enum } => $"global::{value.ToCSharpString()}",
        { Value: string text } => SymbolDisplay.FormatLiteral(text, quote: true),
        { Value: bool flag } => flag ? "true" : "false",
        _ => Convert.ToString(value.Value, CultureInfo.InvariantCulture)!,
    };

    /// <summary>Every option of the attribute has a namesake in ConsumerOptions; one in seconds sets a time span, and a start is told in words.</summary>
    private static string WriteOptions(AttributeData attribute)
    {
        const string seconds = "Seconds";
        var statements = attribute.NamedArguments.Where(static argument => argument.Key != "Group").Select(static argument =>
        {
            var option = argument.Key;
            var value = WriteValue(argument.Value);
            return option.EndsWith(seconds, StringComparison.Ordinal)
                ? $"options.{option.Substring(0, option.Length - seconds.Length)} = global::System.TimeSpan.FromSeconds({value}D);"
                : option == "Start" && !argument.Value.IsNull ? $"options.Start = global::Millrace.Streams.GroupStart.Parse({value});"
                : $"options.{option} = {value};";
        });
        return string.Join(" ", statements);
    }
}
